//! What begins as a content that is gone, and is none of it.

use super::{found, scan};
use crate::watch::content::Head;
use crate::watch::journal::Replayed;
use crate::watch::task::{ReadOutcome, ReadReport};
use crate::watch::tracker::{From, Tracker};

#[test]
fn a_new_file_that_begins_as_one_that_is_gone_is_read() {
    let header = [b'h'; 2_000];
    let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
    scan(&mut tracker, &[(found("app.log-20261129", 1, 3_000), &header)], 0);
    while let Some(job) = tracker.next_job() {
        tracker.done(
            &ReadReport { id: job.id, offset: 3_000, is_mid_line: false, end: 3_000, head: Head::of(&header), outcome: ReadOutcome::AtEnd },
            0,
        );
    }
    scan(&mut tracker, &[], 1_000); // compressed, and passed over
    let mut read = Vec::new();
    for n in 0..30u64 {
        scan(&mut tracker, &[(found("app.log-20261130", 2, 2_000 + n * 10), &header)], 2_000 + n * 1_000);
        while let Some(job) = tracker.next_job() {
            read.push((n, job.offset.bytes));
            let size = 2_000 + n * 10;
            tracker.done(
                &ReadReport {
                    id: job.id,
                    offset: size,
                    is_mid_line: false,
                    end: size,
                    head: Head::of(&header),
                    outcome: ReadOutcome::AtEnd,
                },
                0,
            );
        }
    }
    assert!(!read.is_empty(), "it is never read, though it grows");
}

#[test]
fn a_new_file_that_begins_as_one_that_is_gone_and_outgrows_it_at_once_is_read_from_its_beginning() {
    let header = [b'h'; 2_000];
    for is_told in [false, true] {
        let mut tracker = Tracker::new(From::Beginning, false, &Replayed::default());
        scan(&mut tracker, &[(found("app.log-20261129", 1, 3_000), &header)], 0);
        while let Some(job) = tracker.next_job() {
            tracker.done(
                &ReadReport {
                    id: job.id,
                    offset: 3_000,
                    is_mid_line: false,
                    end: 3_000,
                    head: Head::of(&header),
                    outcome: ReadOutcome::AtEnd,
                },
                0,
            );
        }
        scan(&mut tracker, &[(found("app.log-20261130", 2, 2_000), &header)], 1_000);
        assert!(tracker.next_job().is_none(), "it may be a copy");
        let grown = found("app.log-20261130", 2, 5_000);
        assert!(!is_told || tracker.saw(&grown, 2_000));
        scan(&mut tracker, &[(grown, &header)], 2_000);
        assert_eq!(tracker.next_job().map(|job| (job.key.ino, job.offset.bytes)), Some((2, 0)), "told: {is_told}");
    }
}
