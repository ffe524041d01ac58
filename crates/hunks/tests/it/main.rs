//! The rules of hunks, on chosen texts and on arbitrary ones.

mod cases;
mod rules;
