//! Where frames come from without ROS ([`source`]), and where annotated ones go ([`video`]).

pub mod source;
pub mod video;
