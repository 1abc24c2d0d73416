//! The wire format: frames of real peers, properties that hold for any bytes, and malformed input.

use gimbal::protocol;

mod fixtures;
mod invariants;
mod malformed;
mod properties;
