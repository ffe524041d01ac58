//! A dispatcher over a store in memory, with agents that outlive it.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod runners;
#[cfg(test)]
mod servers;
