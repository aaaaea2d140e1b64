//! Commands, and the targets that they name.

use std::time::Duration;

use crate::numbers;
use crate::wire::Address;

/// How much of a rectangle's area must lie in the picture.
const LEAST_INSIDE: f64 = 0.5;

/// COMMAND_LONG or COMMAND_INT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Command {
    /// Its number.
    pub number: u16,
    /// For whom; zeros are for all.
    pub to: Address,
    /// The seven parameters. Those of COMMAND_INT that are whole numbers have become numbers with fractions.
    pub parameters: [f32; 7],
    /// How often it was sent before, where the sender counts.
    pub confirmation: u8,
}

impl Command {
    /// From the payload of COMMAND_LONG.
    pub fn from_long(bytes: &[u8; 33]) -> Self {
        Self {
            number: u16::from_le_bytes([bytes[28], bytes[29]]),
            to: Address {
                system: bytes[30],
                component: bytes[31],
            },
            parameters: std::array::from_fn(|index| f32::from_le_bytes(four(bytes, 4 * index))),
            confirmation: bytes[32],
        }
    }

    /// From the payload of COMMAND_INT.
    pub fn from_int(bytes: &[u8; 35]) -> Self {
        let parameter = |index: usize| match index {
            4 | 5 => i32::from_le_bytes(four(bytes, 4 * index)) as f32,
            _ => f32::from_le_bytes(four(bytes, 4 * index)),
        };
        Self {
            number: u16::from_le_bytes([bytes[28], bytes[29]]),
            to: Address {
                system: bytes[30],
                component: bytes[31],
            },
            parameters: std::array::from_fn(parameter),
            confirmation: 0,
        }
    }

    /// Whether it is the same command again: its numbers are equal bit by bit.
    pub fn repeats(&self, earlier: &Self) -> bool {
        self.number == earlier.number
            && self.to == earlier.to
            && self.parameters.map(f32::to_bits) == earlier.parameters.map(f32::to_bits)
    }

    /// The camera that a tracking command names; 0: all.
    pub fn camera(&self) -> f32 {
        match self.number {
            numbers::CAMERA_TRACK_POINT => self.parameters[3],
            numbers::CAMERA_TRACK_RECTANGLE => self.parameters[4],
            numbers::CAMERA_STOP_TRACKING => self.parameters[0],
            _ => 0.0,
        }
    }

    /// The target of a command that chooses one.
    ///
    /// # Errors
    /// [`PlaceError`] for what is no place in a picture.
    pub fn place(&self) -> Result<Place, PlaceError> {
        let [first, second, third, fourth, ..] = self.parameters.map(f64::from);
        if self.number == numbers::CAMERA_TRACK_POINT {
            Place::point(first, second)
        } else {
            Place::rectangle([first, second, third, fourth])
        }
    }
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

/// Where a target is in a picture, normalised: (0, 0) is the picture's upper-left corner, (1, 1) its lower-right corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// Around this point; a first box is grown there.
    Point {
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
    },
    /// In this rectangle, which lies in the picture.
    Rectangle {
        /// Its left side.
        left: f64,
        /// Its upper side.
        top: f64,
        /// Its right side, right of the left one.
        right: f64,
        /// Its lower side, below the upper one.
        bottom: f64,
    },
}

/// Why numbers are no place in a picture.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PlaceError {
    /// Not a number, or without end.
    #[error("a coordinate is {0}, expected numbers from 0 to 1")]
    NotANumber(f64),
    /// Beside the picture.
    #[error("the point {0}, {1} lies outside the picture, expected numbers from 0 to 1")]
    PointOutside(f64, f64),
    /// Without a size, or with its corners exchanged.
    #[error(
        "the rectangle from {0}, {1} to {2}, {3} has no size, expected the upper-left corner and then the lower-right one"
    )]
    NoSize(f64, f64, f64, f64),
    /// Most of it lies beside the picture.
    #[error(
        "more than half of the rectangle from {0}, {1} to {2}, {3} lies outside the picture, expected numbers from 0 to 1"
    )]
    RectangleOutside(f64, f64, f64, f64),
}

impl Place {
    fn point(x: f64, y: f64) -> Result<Self, PlaceError> {
        finite(&[x, y])?;
        let inside = 0.0..=1.0;
        if inside.contains(&x) && inside.contains(&y) {
            Ok(Self::Point { x, y })
        } else {
            Err(PlaceError::PointOutside(x, y))
        }
    }

    /// Cuts what reaches a little over the picture, as a finger at its edge does.
    fn rectangle(corners: [f64; 4]) -> Result<Self, PlaceError> {
        finite(&corners)?;
        let [x0, y0, x1, y1] = corners;
        if !(x1 > x0 && y1 > y0) {
            return Err(PlaceError::NoSize(x0, y0, x1, y1));
        }
        let [left, top, right, bottom] = corners.map(|side| side.clamp(0.0, 1.0));
        let inside = (right - left) * (bottom - top);
        if inside <= 0.0 || inside < LEAST_INSIDE * (x1 - x0) * (y1 - y0) {
            return Err(PlaceError::RectangleOutside(x0, y0, x1, y1));
        }
        Ok(Self::Rectangle {
            left,
            top,
            right,
            bottom,
        })
    }
}

fn finite(numbers: &[f64]) -> Result<(), PlaceError> {
    numbers
        .iter()
        .find(|number| !number.is_finite())
        .map_or(Ok(()), |number| Err(PlaceError::NotANumber(*number)))
}

/// What is asked of whoever tracks; its answer goes to [`crate::Handle::answer`] with the ticket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Follow this target.
    Choose {
        /// For the answer.
        ticket: u64,
        /// Where it is.
        place: Place,
        /// When the picture was answered that the pilot saw, on the camera's clock.
        seen: Duration,
    },
    /// Give the target up.
    Stop {
        /// For the answer.
        ticket: u64,
    },
}
