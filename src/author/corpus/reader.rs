//! Reading a recording, one line at a time: what is wrong is said with its line, and a last line cut short is a warning.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{CorpusError, Entry, Item};
use crate::filter::recorded::{Direction, Header, LeftOut, Recorded};

/// Bytes of the longest line: a frame of 16 MiB, in base64, and what stands around it.
const LINE: u64 = 32 << 20;

const HEADER: &str =
    "a file of `gimbal record`, which begins with {\"gimbal\": version, \"recorded\": time, ...}";
const COMMAND: &str = "{\"at_us\", \"way\", \"session\", \"client\", \"command\"}, with \"asked\" where way is response; \
                       or {\"left_out\": number}";

/// The lines of a recording.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    line: usize,
    is_cut: bool,
    is_over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    pub fn new(source: R) -> Result<Self, CorpusError> {
        let header = Header {
            gimbal: String::new(),
            recorded: String::new(),
            bodies: false,
            masked: Vec::new(),
        };
        let mut reader = Self {
            source,
            header,
            line: 0,
            is_cut: false,
            is_over: false,
        };
        let wrong = |what: String| CorpusError::Line {
            line: 1,
            what,
            accepted: HEADER,
        };
        let first = reader.next_line()?;
        let Some((first, _)) = first else {
            return Err(wrong("there is none".to_owned()));
        };
        reader.header = serde_json::from_str(&first)
            .map_err(|error| wrong(format!("it is not the first line of a recording ({error})")))?;
        Ok(reader)
    }

    /// What the first line says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the last line was cut short and is left away: the recording ended before it was written.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Lines read so far.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The next line that is not empty, and whether it is whole.
    fn next_line(&mut self) -> Result<Option<(String, bool)>, CorpusError> {
        loop {
            let mut bytes = Vec::new();
            let mut limited = Read::take(&mut self.source, LINE);
            let read = limited.read_until(b'\n', &mut bytes).map_err(CorpusError::Io)?;
            if read == 0 {
                return Ok(None);
            }
            self.line = self.line.saturating_add(1);
            let is_whole = bytes.last() == Some(&b'\n');
            if !is_whole && u64::try_from(read).is_ok_and(|read| read >= LINE) {
                return Err(self.wrong(format!("it has more than {LINE} bytes")));
            }
            match String::from_utf8(bytes) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Ok(Some((text, is_whole))),
                Err(_) if !is_whole => return Ok(Some((String::new(), false))),
                Err(error) => return Err(self.wrong(format!("it is not UTF-8 ({})", error.utf8_error()))),
            }
        }
    }

    fn wrong(&self, what: String) -> CorpusError {
        CorpusError::Line {
            line: self.line,
            what,
            accepted: COMMAND,
        }
    }

    fn item(&self, text: &str) -> Result<Item, CorpusError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| self.wrong(format!("it is not JSON ({error})")))?;
        if value.get("left_out").is_some() {
            let read: Result<LeftOut, _> = serde_json::from_value(value);
            let LeftOut { left_out } = read.map_err(|error| self.wrong(error.to_string()))?;
            return Ok(Item::LeftOut(left_out));
        }
        let read: Result<Recorded, _> = serde_json::from_value(value);
        let recorded = read.map_err(|error| self.wrong(error.to_string()))?;
        let entry = self.entry(&recorded).map_err(|what| self.wrong(what))?;
        Ok(Item::Command(Box::new(entry)))
    }

    fn entry(&self, recorded: &Recorded) -> Result<Entry, String> {
        let asked = recorded.asked.as_ref().map(|asked| {
            let asked = asked.to_command();
            asked.map_err(|what| format!("asked.{what}"))
        });
        let asked = asked.transpose()?;
        if (recorded.way == Direction::Response) != asked.is_some() {
            return Err(format!(
                "its way is {}, and it {} what was asked",
                recorded.way,
                if asked.is_some() { "has" } else { "lacks" }
            ));
        }
        let command = recorded.command.to_command();
        Ok(Entry {
            line: self.line,
            at: Duration::from_micros(recorded.at_us),
            way: recorded.way,
            client: Arc::new(recorded.client.to_client(recorded.session)),
            broker: recorded.broker.as_deref().map(Into::into),
            command: command.map_err(|what| format!("command.{what}"))?,
            body_size: recorded.command.body_len(),
            asked,
        })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Item, CorpusError>;

    /// The next line. After an error in a line, the one after it can be read.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let (text, is_whole) = match self.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return None,
            Err(error) => {
                self.is_over = matches!(error, CorpusError::Io(_));
                return Some(Err(error));
            }
        };
        let item = self.item(&text);
        if item.is_err() && !is_whole {
            (self.is_cut, self.is_over) = (true, true);
            return None;
        }
        Some(item)
    }
}
