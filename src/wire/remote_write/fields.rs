//! The fields of a protobuf message, one after the other, without copying.
//!
//! | wire type | value                                |
//! |-----------|--------------------------------------|
//! | 0         | uvarint                              |
//! | 1         | 8 bytes, little-endian               |
//! | 2         | uvarint length, bytes                |
//! | 3, 4      | start and end of a group: passed over |
//! | 5         | 4 bytes, little-endian               |

use std::fmt;

use crate::base::varint::{Cursor, Truncated};

/// Why bytes are no message of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends within a field, or an integer is too long.
    Truncated,
    /// A field has another wire type than the protocol gives it, or one that does not exist.
    WireType {
        /// The field's number.
        field: u32,
        /// The type found.
        wire_type: u8,
    },
    /// A field number outside of 1 to 2^29-1.
    FieldNumber,
    /// Groups that do not close, or nest too deeply.
    Group,
}

/// In the words of Prometheus's decoder, which the users of its receiver know.
impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("unexpected EOF"),
            Self::WireType { wire_type, .. } if *wire_type > WIRE_TYPE_MAX => {
                write!(f, "proto: illegal wireType {wire_type}")
            }
            Self::WireType { field, wire_type } => {
                write!(f, "proto: wrong wireType = {wire_type} for field {field}")
            }
            Self::FieldNumber => f.write_str("proto: illegal tag"),
            Self::Group => f.write_str("proto: unexpected end of group"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<Truncated> for DecodeError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// A field's number and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Value<'a>,
}

impl<'a> Field<'a> {
    #[cold]
    const fn wrong(&self) -> DecodeError {
        let wire_type = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32 => 5,
        };
        DecodeError::WireType { field: self.number, wire_type }
    }

    #[inline]
    pub(crate) const fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    #[inline]
    pub(crate) const fn int64(&self) -> Result<i64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value as i64),
            _ => Err(self.wrong()),
        }
    }

    pub(crate) const fn uint64(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    pub(crate) fn sint64(&self) -> Result<i64, DecodeError> {
        self.uint64().map(zigzag)
    }

    /// Appends the numbers of a repeated `sint64`, packed or one alone.
    pub(crate) fn sint64s(&self, into: &mut Vec<i64>) -> Result<(), DecodeError> {
        match self.value {
            Value::Varint(value) => into.push(zigzag(value)),
            Value::Bytes(bytes) => {
                let mut cursor = Cursor::new(bytes);
                while !cursor.is_empty() {
                    into.push(cursor.varint()?);
                }
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// Appends the numbers of a repeated `double`, packed or one alone.
    pub(crate) fn doubles(&self, into: &mut Vec<f64>) -> Result<(), DecodeError> {
        match self.value {
            Value::Fixed64(bits) => into.push(f64::from_bits(bits)),
            Value::Bytes(bytes) => {
                let (values, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(DecodeError::Truncated);
                }
                into.extend(values.iter().map(|value| f64::from_le_bytes(*value)));
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    #[inline]
    pub(crate) const fn double(&self) -> Result<f64, DecodeError> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong()),
        }
    }
}

const fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

const WIRE_TYPE_MAX: u8 = 5;
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;
const GROUP_DEPTH_MAX: u32 = 64;

/// Goes through the fields of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(Cursor<'a>);

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self(Cursor::new(message))
    }

    /// The next field that is no group.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        let mut open_groups = 0;
        while !self.0.is_empty() {
            let tag = self.0.uvarint()?;
            let wire_type = (tag & 7) as u8;
            let number = u32::try_from(tag >> 3).unwrap_or(u32::MAX);
            if wire_type > WIRE_TYPE_MAX {
                return Err(DecodeError::WireType { field: number, wire_type });
            }
            if tag < 8 || tag >> 3 > FIELD_NUMBER_MAX {
                return Err(DecodeError::FieldNumber);
            }
            let value = match wire_type {
                0 => Value::Varint(self.0.uvarint()?),
                1 => Value::Fixed64(self.fixed64()?),
                2 => Value::Bytes(self.0.length_prefixed()?),
                3 if open_groups < GROUP_DEPTH_MAX => {
                    open_groups += 1;
                    continue;
                }
                4 if open_groups > 0 => {
                    open_groups -= 1;
                    continue;
                }
                3 | 4 => return Err(DecodeError::Group),
                _ => {
                    self.0.take(4)?;
                    Value::Fixed32
                }
            };
            if open_groups == 0 {
                return Ok(Some(Field { number, value }));
            }
        }
        if open_groups == 0 { Ok(None) } else { Err(DecodeError::Group) }
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.0.take(8)?.first_chunk::<8>().ok_or(DecodeError::Truncated)?;
        Ok(u64::from_le_bytes(*bytes))
    }
}
