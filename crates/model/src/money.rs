//! Amounts of money, each with its currency, counted in whole billionths: sums are exact in any order.

use std::fmt;
use std::str::FromStr;

use crate::UnknownName;
use crate::usage::MAX_COUNT;

/// How many billionths make one unit of a currency.
pub const NANOS: u64 = 1_000_000_000;

/// The most letters that a currency's code may have: those of ISO 4217 have three, and agents count in words like
/// `CREDITS` too.
const LETTERS: usize = 8;

/// A currency by its code, in capital letters. Codes are not looked up: what matters is that amounts of different ones
/// are never added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; LETTERS]);

impl Currency {
    /// US dollars, in which most agents count.
    pub const USD: Self = Self(*b"USD\0\0\0\0\0");

    /// The currency with this code: one to eight ASCII letters or digits, in either case. None for anything else.
    pub fn new(code: &str) -> Option<Self> {
        let fits = (1..=LETTERS).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut letters = [0; LETTERS];
        letters.iter_mut().zip(code.bytes()).for_each(|(letter, byte)| *letter = byte.to_ascii_uppercase());
        fits.then_some(Self(letters))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|letter| *letter == 0).unwrap_or(LETTERS);
        // Only ASCII ever gets in.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = UnknownName;

    fn from_str(code: &str) -> Result<Self, UnknownName> {
        Self::new(code).ok_or_else(|| UnknownName { what: "currency", name: code.to_owned() })
    }
}

/// An amount of one currency: zero or more, and never beyond [`MAX_COUNT`] billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    nanos: u64,
    currency: Currency,
}

impl Cost {
    /// An amount as an agent tells it, to the nearest billionth. None if it is no amount: negative, NaN, infinite.
    pub fn new(amount: f64, currency: Currency) -> Option<Self> {
        // A cast stops at the greatest number there is.
        let nanos = |amount: f64| (amount * NANOS as f64).round() as u64;
        (amount.is_finite() && amount >= 0.0).then(|| Self::from_nanos(nanos(amount), currency))
    }

    /// An amount of US dollars as an agent tells it.
    pub fn usd(amount: f64) -> Option<Self> {
        Self::new(amount, Currency::USD)
    }

    /// So many billionths.
    pub const fn from_nanos(nanos: u64, currency: Currency) -> Self {
        Self { nanos: if nanos > MAX_COUNT { MAX_COUNT } else { nanos }, currency }
    }

    /// The amount in billionths.
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// The amount in whole units and their fractions, for showing.
    pub fn amount(self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// Of which currency it is.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_in_either_case_and_nothing_else_is_one() {
        assert_eq!(Currency::new("usd"), Some(Currency::USD));
        assert_eq!(Currency::new("Credits8").map(|it| it.to_string()).as_deref(), Some("CREDITS8"));
        for no_code in ["", "U S", "€", "NINELETRS"] {
            assert_eq!(Currency::new(no_code), None, "{no_code}");
        }
    }

    #[test]
    fn an_amount_is_kept_to_the_billionth() {
        assert_eq!(Cost::usd(0.023_164_999_999_999_998).map(Cost::nanos), Some(23_165_000));
        assert_eq!(Cost::usd(0.023_165).map(Cost::amount), Some(0.023_165));
        assert_eq!(Cost::usd(0.0).map(Cost::nanos), Some(0));
        assert_eq!(Cost::usd(f64::MAX).map(Cost::nanos), Some(MAX_COUNT));
        for no_amount in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Cost::usd(no_amount), None, "{no_amount}");
        }
    }
}
