//! Messages of TraX: a line `@@TRAX:TYPE "argument" "key=value" …` each. Other lines are not part of the protocol.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

/// The start of every message.
const PREFIX: &str = "@@TRAX:";

/// Longest message in bytes. An image of 16384 x 16384 in base64 fits.
const LONGEST: u64 = 1 << 31;

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hello,
    Initialize,
    Frame,
    State,
    Quit,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Initialize => "initialize",
            Self::Frame => "frame",
            Self::State => "state",
            Self::Quit => "quit",
        }
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let kinds = [
            Self::Hello,
            Self::Initialize,
            Self::Frame,
            Self::State,
            Self::Quit,
        ];
        // This is its name in early clients.
        let name = if name == "status" { "state" } else { &name };
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub arguments: Vec<String>,
    pub properties: BTreeMap<String, String>,
}

impl Message {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            arguments: Vec::new(),
            properties: BTreeMap::new(),
        }
    }

    pub fn with_argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.properties.insert(key.to_owned(), value.to_string());
        self
    }

    /// Reads the next message. Lines that are no messages are skipped. Returns `None` at the end of the stream.
    ///
    /// # Errors
    /// The stream's errors, and an error for a line that is longer than any message.
    pub fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if io::Read::take(&mut *input, LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.len() as u64 == LONGEST {
                let reason = format!("a line of more than {LONGEST} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            if let Ok(text) = std::str::from_utf8(&line)
                && let Some(message) = Self::parse(text)
            {
                return Ok(Some(message));
            }
        }
    }

    /// Writes the message as one line and flushes it.
    ///
    /// # Errors
    /// The stream's errors.
    pub fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let mut line = format!("{PREFIX}{}", self.kind.name());
        for argument in &self.arguments {
            line.push_str(&format!(" \"{}\"", escaped(argument)));
        }
        for (key, value) in &self.properties {
            line.push_str(&format!(" \"{key}={}\"", escaped(value)));
        }
        line.push('\n');
        output.write_all(line.as_bytes())?;
        output.flush()
    }

    fn parse(line: &str) -> Option<Self> {
        let text = line.strip_prefix(PREFIX)?.trim_end_matches(['\n', '\r']);
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut message = Self::new(Kind::of(kind)?);
        let mut letters = rest.chars().peekable();
        loop {
            while letters.next_if_eq(&' ').is_some() {}
            if letters.peek().is_none() {
                return Some(message);
            }
            let quoted = letters.next_if_eq(&'"').is_some();
            let word = Self::word(&mut letters, quoted)?;
            match word.split_once('=') {
                // The text before an equals sign may also be base64.
                Some((key, value)) if is_key(key) => {
                    message.properties.insert(key.to_owned(), value.to_owned());
                }
                _ => message.arguments.push(word),
            }
        }
    }

    /// Reads the characters up to the end of a word and removes the escapes. `None` if the word has no correct end.
    fn word(
        letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
        quoted: bool,
    ) -> Option<String> {
        let mut word = String::new();
        loop {
            match letters.next() {
                None => return (!quoted).then_some(word),
                Some('\\') => match letters.next()? {
                    'n' => word.push('\n'),
                    other => word.push(other),
                },
                Some('"') if quoted => {
                    let ends = letters.peek().is_none_or(|next| *next == ' ');
                    return ends.then_some(word);
                }
                Some(' ') if !quoted => return Some(word),
                Some(letter) => word.push(letter),
            }
        }
    }
}

fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => escaped.push_str("\\n"),
            '"' | '\\' => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Message> {
        let mut input = text.as_bytes();
        std::iter::from_fn(|| Message::read(&mut input).unwrap()).collect()
    }

    #[test]
    fn a_message_is_read_back_as_it_was_written() {
        let message = Message::new(Kind::State)
            .with_argument("1,2,3,4")
            .with_argument("a \"quoted\" \\ line\nand more")
            .with("confidence", 0.5)
            .with("trax.reason", "no \"box\"");
        let mut line = Vec::new();
        message.write(&mut line).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(read(std::str::from_utf8(&line).unwrap()), [message]);
    }

    #[test]
    fn other_lines_are_skipped_and_words_need_no_quotation_marks() {
        let text = "loading model\n@@TRAX:initialize 1,2,3,4 key=a\\ b\r\n@@TRAX:strange\n@@TRAX:frame \"open\n\
                    @@TRAX:quit\nend";
        let messages = read(text);
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!(messages[0].arguments, ["1,2,3,4"]);
        assert_eq!(messages[0].properties["key"], "a b");
        assert_eq!(messages[1].kind, Kind::Quit);
    }

    #[test]
    fn base64_with_its_equals_signs_is_an_argument() {
        let image = "data:image/png;iVBORw0KGgo=";
        let messages = read(&format!("@@TRAX:frame \"{image}\"\n"));
        assert_eq!(messages[0].arguments, [image]);
    }
}
