//! Messages of `diagnostic_msgs`.

use super::{CdrError, CdrReader, CdrWriter, FromCdr, Header, Message, ToCdr};

/// The level of a diagnostic status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiagnosticLevel {
    /// The component works.
    #[default]
    Ok = 0,
    /// It works, but needs attention.
    Warn = 1,
    /// It does not work.
    Error = 2,
    /// It has sent no status for some time.
    Stale = 3,
}

/// `diagnostic_msgs/msg/DiagnosticStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiagnosticStatus {
    /// Level of the status.
    pub level: DiagnosticLevel,
    /// Name of the component.
    pub name: String,
    /// Summary in one line.
    pub message: String,
    /// The hardware that the component belongs to.
    pub hardware_id: String,
    /// Details as keys and values.
    pub values: Vec<(String, String)>,
}

impl DiagnosticStatus {
    /// The value of `key`; `None` if there is no such key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    fn read(reader: &mut CdrReader<'_>) -> Result<Self, CdrError> {
        let level = match reader.u8("status.level")? {
            0 => DiagnosticLevel::Ok,
            1 => DiagnosticLevel::Warn,
            2 => DiagnosticLevel::Error,
            3 => DiagnosticLevel::Stale,
            got => {
                return Err(CdrError::Value {
                    field: "status.level",
                    expected: "0 (OK), 1 (WARN), 2 (ERROR) or 3 (STALE)",
                    got: got.into(),
                });
            }
        };
        let name = reader.string("status.name")?.to_owned();
        let message = reader.string("status.message")?.to_owned();
        let hardware_id = reader.string("status.hardware_id")?.to_owned();
        let length = reader.length(4 + 4, "status.values")?;
        let values = (0..length)
            .map(|_| {
                Ok((
                    reader.string("values.key")?.to_owned(),
                    reader.string("values.value")?.to_owned(),
                ))
            })
            .collect::<Result<_, CdrError>>()?;
        Ok(Self {
            level,
            name,
            message,
            hardware_id,
            values,
        })
    }

    fn write(&self, writer: &mut CdrWriter) {
        writer.u8(self.level as u8);
        writer.string(&self.name);
        writer.string(&self.message);
        writer.string(&self.hardware_id);
        writer.length(self.values.len());
        for (key, value) in &self.values {
            writer.string(key);
            writer.string(value);
        }
    }
}

/// `diagnostic_msgs/msg/DiagnosticArray`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiagnosticArray {
    /// Time of the statuses.
    pub header: Header,
    /// One per component.
    pub status: Vec<DiagnosticStatus>,
}

impl Message for DiagnosticArray {
    const TYPE: &'static str = "diagnostic_msgs/msg/DiagnosticArray";
}

impl<'a> FromCdr<'a> for DiagnosticArray {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        let header = Header::read(reader)?;
        let length = reader.length(1 + 4 * 4, "status")?;
        Ok(Self {
            header,
            status: (0..length)
                .map(|_| DiagnosticStatus::read(reader))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl ToCdr for DiagnosticArray {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.length(self.status.len());
        for status in &self.status {
            status.write(writer);
        }
    }
}
