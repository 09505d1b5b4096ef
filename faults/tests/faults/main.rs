//! The real daemon, and the real store, on disks that stop, fail, fill up and lose power: nothing acknowledged is ever lost.
#![allow(unreachable_pub, reason = "the harness is shared by the files of this one test binary")]

mod daemon;

mod crash_points;
mod injected;
mod power_cut;
