//! Tests that drive the real binaries: the daemon over its sockets, files, signals and exit codes, and loadgen as the oracle.
#![allow(unreachable_pub, reason = "the harness is shared by the files of this one test binary")]

mod harness;
mod relp_client;

mod back_pressure;
mod bad_peers;
mod balance;
mod collect;
mod collect_crash;
mod collect_outputs;
mod collector;
mod corpus;
mod disk;
mod formats;
mod http;
mod intake;
mod metrics;
mod outputs;
mod readers;
mod recovery;
mod refusal;
mod relp;
mod relp_resend;
mod rsyslog;
mod rules;
mod senders;
mod serve_files_crash;
mod stop;
mod systemd;
mod text;
mod under_load;
mod web;
