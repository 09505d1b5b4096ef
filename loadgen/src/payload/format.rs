//! How a line is written: JSON, CSV, text. Pure.

use std::io::Write as _;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::services::SERVICES;
use super::slots::ID_BYTES;
use super::traffic::Event;

/// The shape of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// RFC 4180 with LF line ends, a header line first.
    Csv,
    /// `TIME LEVEL [service] message key=value …`.
    Text,
}

/// What stands in the slots until they are patched.
const EMPTY_STAMP: &str = "0000-00-00T00:00:00.000";
const EMPTY_ID: &str = "--------------------------";
const _: () = assert!(EMPTY_ID.len() == ID_BYTES);

impl Format {
    /// As flags and manifests spell it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Text => "text",
        }
    }

    /// The line that comes first on a connection, with its newline; most formats have none.
    pub fn header(self) -> &'static [u8] {
        match self {
            Format::Csv => b"timestamp,level,service,message,user_id,session_token,request,latency_ms,event_id\n",
            Format::Json | Format::Text => b"",
        }
    }

    /// How many bytes stand before the time slot.
    pub fn before_stamp(self) -> usize {
        match self {
            Format::Json => br#"{"timestamp":""#.len(),
            Format::Csv | Format::Text => 0,
        }
    }

    /// How many bytes stand after the identity, without the newline.
    pub fn after_id(self) -> usize {
        match self {
            Format::Json => br#""}"#.len(),
            Format::Csv | Format::Text => 0,
        }
    }

    /// Appends the line of `event` with empty slots and its newline; `micros` are the three digits after the time slot.
    ///
    /// No part of an event needs escaping but the message in CSV: the templates have no quotes or backslashes, which a test holds.
    pub fn write(self, out: &mut Vec<u8>, event: &Event, micros: u64) {
        let Event { level, service, message, user, token, request, latency_us } = event;
        let (level, service) = (level.name(), SERVICES[*service].name);
        let (ms, us) = (latency_us / 1000, latency_us % 1000);
        let written = match self {
            Format::Json => writeln!(
                out,
                r#"{{"timestamp":"{EMPTY_STAMP}{micros:03}Z","level":"{level}","service":"{service}","message":"{message}","user_id":"u-{user}","session_token":"{token:012x}","request":"{request}","latency_ms":{ms}.{us:03},"event_id":"{EMPTY_ID}"}}"#
            ),
            Format::Csv => {
                let quote = if message.contains(',') { "\"" } else { "" };
                writeln!(
                    out,
                    "{EMPTY_STAMP}{micros:03}Z,{level},{service},{quote}{message}{quote},u-{user},{token:012x},{request},{ms}.{us:03},{EMPTY_ID}"
                )
            }
            Format::Text => writeln!(
                out,
                "{EMPTY_STAMP}{micros:03}Z {level} [{service}] {message} user_id=u-{user} session_token={token:012x} request=\"{request}\" latency_ms={ms}.{us:03} event_id={EMPTY_ID}"
            ),
        };
        written.expect("a Vec takes every byte");
    }
}
