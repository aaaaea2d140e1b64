//! The default model of ettrack, carried inside the program.
