//! What tokens cost where the agent does not say: configured prices by model.

use std::collections::BTreeMap;

use boocoder_model::{Cost, Currency, UsageTotals};

/// So many tokens a price is for.
const MILLION: u128 = 1_000_000;

/// What a model's tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    input: u64,
    output: u64,
    currency: Currency,
}

impl Price {
    /// A price for a million tokens read and one for a million tokens written, in whole units of the currency. None if
    /// one of them is no amount: negative, NaN, infinite.
    pub fn per_million(input: f64, output: f64, currency: Currency) -> Option<Self> {
        let nanos = |amount| Some(Cost::new(amount, currency)?.nanos());
        Some(Self { input: nanos(input)?, output: nanos(output)?, currency })
    }

    /// What so many tokens cost, to the nearest billionth. Costs in `used` are not looked at.
    pub fn of(&self, used: &UsageTotals) -> Cost {
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let millionths = part(used.input, self.input).saturating_add(part(used.output, self.output));
        let nanos = millionths.saturating_add(MILLION / 2) / MILLION;
        Cost::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX), self.currency)
    }
}

/// Prices by the model's name, as an agent is asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceTable(BTreeMap<String, Price>);

impl PriceTable {
    /// The price of a model, if it is configured.
    pub fn get(&self, model: &str) -> Option<&Price> {
        self.0.get(model)
    }
}

impl FromIterator<(String, Price)> for PriceTable {
    fn from_iter<I: IntoIterator<Item = (String, Price)>>(prices: I) -> Self {
        Self(prices.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use boocoder_model::money::NANOS;

    use super::*;

    fn tokens(input: u64, output: u64) -> UsageTotals {
        UsageTotals { input, output, ..UsageTotals::default() }
    }

    #[test]
    fn tokens_of_each_kind_have_their_price() {
        let price = Price::per_million(0.25, 10.0, Currency::USD).expect("a price");
        assert_eq!(price.of(&tokens(1_000_000, 0)), Cost::from_nanos(NANOS / 4, Currency::USD));
        assert_eq!(price.of(&tokens(4_000, 100)), Cost::from_nanos(1_000_000 + 1_000_000, Currency::USD));
        assert_eq!(price.of(&tokens(0, 0)).nanos(), 0);
    }

    #[test]
    fn less_than_a_billionth_is_rounded_and_the_greatest_is_a_number() {
        let cheap = Price::per_million(0.000_5, 0.0, Currency::USD).expect("a price");
        assert_eq!((cheap.of(&tokens(0, 1)).nanos(), cheap.of(&tokens(1, 0)).nanos()), (0, 1));
        let dear = Price::per_million(f64::MAX, f64::MAX, Currency::USD).expect("a price");
        assert_eq!(dear.of(&tokens(u64::MAX, u64::MAX)).nanos(), boocoder_model::MAX_COUNT);
    }

    #[test]
    fn what_is_no_amount_is_no_price() {
        for (input, output) in [(-1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 0.0)] {
            assert_eq!(Price::per_million(input, output, Currency::USD), None);
        }
    }
}
