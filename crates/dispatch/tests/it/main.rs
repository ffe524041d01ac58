//! A dispatcher over a store in memory, with agents that outlive it.

mod restart;
mod runners;
