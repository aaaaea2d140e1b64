//! Commands and the targets in them.

use std::time::Duration;

use crate::numbers;
use crate::wire::Address;

/// Smallest part of a rectangle's area that must lie in the picture.
const LEAST_INSIDE: f64 = 0.5;

/// COMMAND_LONG or COMMAND_INT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Command {
    /// Number of the command.
    pub number: u16,
    /// The receiver. 0 stands for all systems or all components.
    pub to: Address,
    /// The seven parameters. The integers of COMMAND_INT are converted to `f32`.
    pub parameters: [f32; 7],
    /// How often the sender has sent the command before. Always 0 for COMMAND_INT and for senders that do not count.
    pub confirmation: u8,
}

impl Command {
    /// Decodes the payload of COMMAND_LONG.
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

    /// Decodes the payload of COMMAND_INT.
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

    /// Whether this command repeats `earlier`: number, receiver and all bits of the parameters are equal.
    pub fn repeats(&self, earlier: &Self) -> bool {
        self.number == earlier.number
            && self.to == earlier.to
            && self.parameters.map(f32::to_bits) == earlier.parameters.map(f32::to_bits)
    }

    /// Returns the camera id in a tracking command. 0 stands for all cameras.
    pub fn camera(&self) -> f32 {
        match self.number {
            numbers::CAMERA_TRACK_POINT => self.parameters[3],
            numbers::CAMERA_TRACK_RECTANGLE => self.parameters[4],
            numbers::CAMERA_STOP_TRACKING => self.parameters[0],
            _ => 0.0,
        }
    }

    /// Returns the target of a command that chooses one.
    ///
    /// # Errors
    /// Returns a [`PlaceError`] if the parameters give no point or rectangle in the picture.
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

/// Position of a target in normalised coordinates: (0, 0) is the picture's upper-left corner, (1, 1) its lower-right corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// A point on the target. The tracker finds the first box around it.
    Point {
        /// Distance from the left side of the picture.
        x: f64,
        /// Distance from the upper side of the picture.
        y: f64,
    },
    /// A rectangle in the picture.
    Rectangle {
        /// Left side.
        left: f64,
        /// Upper side.
        top: f64,
        /// Right side, greater than `left`.
        right: f64,
        /// Lower side, greater than `top`.
        bottom: f64,
    },
}

/// Why the parameters of a command give no position in the picture.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PlaceError {
    /// A coordinate is NaN or infinite.
    #[error("a coordinate is {0}, expected numbers from 0 to 1")]
    NotANumber(f64),
    /// The point lies outside the picture.
    #[error("the point {0}, {1} lies outside the picture, expected numbers from 0 to 1")]
    PointOutside(f64, f64),
    /// The rectangle has no size, or its corners are exchanged.
    #[error(
        "the rectangle from {0}, {1} to {2}, {3} has no size, expected the upper-left corner and then the lower-right one"
    )]
    NoSize(f64, f64, f64, f64),
    /// More than half of the rectangle lies outside the picture.
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

    /// Clips the rectangle to the picture, because a pilot may draw a little over the edge.
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

/// A request to the tracker. The tracker answers with the ticket through [`crate::Handle::answer`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Start to follow a target.
    Choose {
        /// Number for the answer.
        ticket: u64,
        /// Position of the target in the picture.
        place: Place,
        /// Time at which the tracker answered the picture that the pilot saw, on the camera's clock.
        seen: Duration,
    },
    /// Stop following the target.
    Stop {
        /// Number for the answer.
        ticket: u64,
    },
}
