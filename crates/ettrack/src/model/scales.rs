//! Checks the scales of a graph with eight-bit numbers.
//!
//! ONNX Runtime accepts any number as a scale. With a scale of 0 or NaN, the network's outputs mean nothing. So the scales
//! are read from the file's protocol buffer before the network runs.

use std::collections::HashSet;

/// The numbers in onnx.proto of the fields that are read.
mod field {
    pub const MODEL_GRAPH: u64 = 7;
    pub const GRAPH_NODE: u64 = 1;
    pub const GRAPH_INITIALIZER: u64 = 5;
    pub const NODE_INPUT: u64 = 1;
    pub const NODE_OPERATOR: u64 = 4;
    pub const TENSOR_TYPE: u64 = 2;
    pub const TENSOR_FLOATS: u64 = 4;
    pub const TENSOR_NAME: u64 = 8;
    pub const TENSOR_RAW: u64 = 9;
}

/// The type of a tensor of single precision.
const FLOAT: u64 = 1;

/// Operators whose second input is a scale.
const OPERATORS: [&[u8]; 2] = [b"QuantizeLinear", b"DequantizeLinear"];

/// A scale that is not finite or not above 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BadScale {
    /// The tensor's name.
    pub name: String,
    /// Its first wrong value.
    pub value: f32,
}

/// Checks that all scales among the constants of the ONNX file `bytes` are finite and above 0. If `bytes` is no ONNX file,
/// this is not an error here, because ONNX Runtime reports it.
pub(super) fn check(bytes: &[u8]) -> Result<(), BadScale> {
    let graphs = Fields(bytes).lengths(field::MODEL_GRAPH);
    for graph in graphs {
        let mut scales: HashSet<&[u8]> = HashSet::new();
        for node in Fields(graph).lengths(field::GRAPH_NODE) {
            let mut operators = Fields(node).lengths(field::NODE_OPERATOR);
            if operators.any(|name| OPERATORS.contains(&name)) {
                let scale = Fields(node).lengths(field::NODE_INPUT).nth(1);
                scales.extend(scale);
            }
        }
        if scales.is_empty() {
            continue;
        }
        for tensor in Fields(graph).lengths(field::GRAPH_INITIALIZER) {
            let name = Fields(tensor).lengths(field::TENSOR_NAME).next();
            let Some(name) = name.filter(|name| scales.contains(name)) else {
                continue;
            };
            if let Some(value) = floats(tensor).find(|value| !(value.is_finite() && *value > 0.0)) {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(BadScale { name, value });
            }
        }
    }
    Ok(())
}

/// The values of a tensor of single precision.
fn floats(tensor: &[u8]) -> impl Iterator<Item = f32> {
    let is_float = Fields(tensor)
        .any(|(number, value)| (number, value) == (field::TENSOR_TYPE, Value::Number(FLOAT)));
    let values = Fields(tensor).filter_map(move |(number, value)| match (number, value) {
        (field::TENSOR_FLOATS | field::TENSOR_RAW, Value::Bytes(bytes)) if is_float => Some(bytes),
        _ => None,
    });
    values.flat_map(|bytes| {
        let numbers = bytes.chunks_exact(4);
        numbers.map(|number| f32::from_le_bytes([number[0], number[1], number[2], number[3]]))
    })
}

/// The fields of a message, up to its end or to the first invalid field.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Number(u64),
    /// A message, a text or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// Returns the messages and texts of the field `wanted`.
    fn lengths(self, wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        self.filter_map(move |(number, value)| match value {
            Value::Bytes(bytes) if number == wanted => Some(bytes),
            _ => None,
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
        let mut field = vec![(number << 3 | 2) as u8];
        let mut length = content.len();
        while length >= 0x80 {
            field.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend(content);
        field
    }

    /// A model with one node of `operator` whose scales are `values`.
    fn model(operator: &[u8], values: &[f32]) -> Vec<u8> {
        let node = [
            bytes(field::NODE_INPUT, b"x"),
            bytes(field::NODE_INPUT, b"x_scale"),
            bytes(field::NODE_OPERATOR, operator),
        ]
        .concat();
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let tensor = [
            vec![(field::TENSOR_TYPE << 3) as u8, FLOAT as u8],
            bytes(field::TENSOR_NAME, b"x_scale"),
            bytes(field::TENSOR_RAW, &raw),
        ]
        .concat();
        let graph = [
            bytes(field::GRAPH_NODE, &node),
            bytes(field::GRAPH_INITIALIZER, &tensor),
        ]
        .concat();
        bytes(field::MODEL_GRAPH, &graph)
    }

    #[test]
    fn scales_that_cannot_be_are_named() {
        for value in [0.0, -0.5, f32::NAN, f32::INFINITY] {
            let bad = check(&model(b"QuantizeLinear", &[0.5, value])).unwrap_err();
            assert_eq!(bad.name, "x_scale");
            assert!(bad.value == value || bad.value.is_nan() && value.is_nan());
        }
        assert_eq!(check(&model(b"DequantizeLinear", &[0.5, 0.25])), Ok(()));
        // Another operator's second input is no scale.
        assert_eq!(check(&model(b"Mul", &[0.0])), Ok(()));
    }

    #[test]
    fn what_is_no_onnx_file_has_no_scales() {
        let whole = model(b"QuantizeLinear", &[0.0]);
        for length in 0..whole.len() {
            let _ = check(&whole[..length]);
        }
        assert_eq!(check(b"no model"), Ok(()));
        assert_eq!(check(&[0xff; 64]), Ok(()));
    }
}
