//! Reads NumPy arrays as frames, without a copy.

use ettrack::{Encoding, Frame};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors;

/// The shape and the element type of arrays with the pixels of an encoding.
#[derive(Debug, Clone, Copy)]
struct Layout {
    encoding: Encoding,
    /// Elements per pixel.
    channels: usize,
    /// Bytes per element.
    item: usize,
}

impl Layout {
    fn of(encoding: Encoding) -> Self {
        // Two pixels, because some encodings share chroma between them.
        let pixel = encoding.row_bytes(2) / 2;
        let item = if encoding == Encoding::Mono16 { 2 } else { 1 };
        Self {
            encoding,
            channels: pixel / item,
            item,
        }
    }

    /// Returns the image's height if the array has `rows` rows, of which some may be chroma planes. `None` if no height gives this
    /// number of rows.
    fn height(self, rows: usize) -> Option<u32> {
        let planes = self.encoding.stored_rows(2);
        let height = u32::try_from(rows * 2 / planes).ok()?;
        (self.encoding.stored_rows(height) == rows).then_some(height)
    }

    /// Returns the expected shape as text, for messages.
    fn shape(self) -> String {
        let rows = if self.encoding.stored_rows(2) == 2 {
            "height"
        } else {
            "height * 3 / 2"
        };
        match self.channels {
            1 => format!("({rows}, width)"),
            channels => format!("({rows}, width, {channels})"),
        }
    }

    fn item_name(self) -> &'static str {
        if self.item == 2 { "uint16" } else { "uint8" }
    }
}

/// Returns the array as a frame of `encoding`, without a copy. There may be a gap between rows, as in a part of a larger image.
///
/// # Errors
/// `TypeError` if the value is not an array or has another element type. `ValueError` if the array has another shape, if its
/// pixels do not lie side by side, or if [`Frame::new`] refuses the frame.
pub fn read<'a>(array: &'a Bound<'_, PyAny>, encoding: Encoding) -> PyResult<Frame<'a>> {
    let layout = Layout::of(encoding);
    let array = array.cast::<PyUntypedArray>().map_err(|_| {
        PyTypeError::new_err(format!(
            "frame is a {}, expected a numpy.ndarray of shape {} and type {}",
            type_name(array),
            layout.shape(),
            layout.item_name()
        ))
    })?;
    let data = match layout.item {
        2 => first_byte::<u16>(array),
        _ => first_byte::<u8>(array),
    };
    let data = data.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "frame has elements of type {}, expected {} for encoding {encoding}",
            array.dtype(),
            layout.item_name()
        ))
    })?;
    let shape = array.shape();
    let (&[rows, columns] | &[rows, columns, _]) = shape else {
        return Err(wrong_shape(array, layout));
    };
    if shape.get(2).copied().unwrap_or(1) != layout.channels {
        return Err(wrong_shape(array, layout));
    }
    let height = layout
        .height(rows)
        .ok_or_else(|| wrong_shape(array, layout))?;
    let width = u32::try_from(columns).map_err(|_| wrong_shape(array, layout))?;

    let row = columns * layout.channels * layout.item;
    let stride = row_stride(array, layout, row).ok_or_else(|| {
        PyValueError::new_err(format!(
            "frame has strides {:?} bytes for shape {shape:?}, expected the pixels of a row side by side and row after \
             row; numpy.ascontiguousarray(frame) makes such a copy",
            array.strides()
        ))
    })?;
    let length = rows.saturating_sub(1) * stride + if rows == 0 { 0 } else { row };
    Frame::new(bytes(array, data, length), width, height, stride, encoding)
        .map_err(|error| errors::of_frame(&error))
}

/// Returns the address of the first element. `None` if the elements are not of type `T` in the machine's byte order.
fn first_byte<T: Element>(array: &Bound<'_, PyUntypedArray>) -> Option<*const u8> {
    let array = array.cast::<PyArrayDyn<T>>().ok()?;
    Some(array.data().cast_const().cast())
}

/// Returns the number of bytes from row to row. `None` if the `row` bytes of a row do not lie side by side, or if rows overlap.
fn row_stride(array: &Bound<'_, PyUntypedArray>, layout: Layout, row: usize) -> Option<usize> {
    let lies = |axis: usize, expected: usize| {
        // The stride of an axis with one element has no meaning and may be any number.
        array.shape().get(axis).is_none_or(|length| *length <= 1)
            || usize::try_from(array.strides()[axis]) == Ok(expected)
    };
    if !lies(1, layout.channels * layout.item) || !lies(2, layout.item) {
        return None;
    }
    match array.shape()[0] {
        0 | 1 => Some(row),
        _ => usize::try_from(array.strides()[0])
            .ok()
            .filter(|stride| *stride >= row),
    }
}

/// Returns `length` bytes of the array's memory, from its first element `data` on.
#[allow(unsafe_code)]
fn bytes<'a>(_array: &'a Bound<'_, PyUntypedArray>, data: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the array is borrowed, so it is alive. NumPy does not move the memory of an array that has two references,
    // the caller's and this one. `row_stride` has checked that the rows lie in one allocation at growing addresses, so
    // `length` bytes reach from the first element to the end of the last one. The class's documentation forbids callers to
    // write to a frame while it is tracked, as every extension that releases the interpreter's lock must.
    unsafe { std::slice::from_raw_parts(data, length) }
}

fn wrong_shape(array: &Bound<'_, PyUntypedArray>, layout: Layout) -> PyErr {
    let encoding = layout.encoding;
    PyValueError::new_err(format!(
        "frame has shape {:?}, expected {} for encoding {encoding}; Tracker(encoding=…) takes other layouts: {}",
        array.shape(),
        layout.shape(),
        Encoding::accepted_names()
    ))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "value".to_owned(), |name| name.to_string())
}
