//! US dollars, exact: a decimal number without binary fractions. In: decimal text. Out: sums and
//! products of it. Pure.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use rust_decimal::prelude::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(Decimal);

/// Digits after the point in which amounts are stored: ten-thousandths of a cent.
const STORED_DIGITS: u32 = 6;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// This many units of `10^-digits` dollars: `Usd::new(4_048, 5)` is $0.04048.
    #[must_use]
    pub const fn new(units: u32, digits: u32) -> Self {
        Self(Decimal::from_parts(units, 0, 0, false, digits))
    }

    /// The amount as a decimal number.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// The price of `quantity` at this price for one. The largest amount instead of an overflow.
    #[must_use]
    pub fn times(self, quantity: Decimal) -> Self {
        Self(self.0.checked_mul(quantity).unwrap_or(Decimal::MAX))
    }

    /// The amount in whole cents as decimal text without a sign, for a status: `0.63`.
    #[must_use]
    pub fn cents_text(self) -> String {
        format!("{:.2}", self.0.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero))
    }

    /// Rounded up to a whole cent, for an upper bound that is shown.
    #[must_use]
    pub fn up_to_cents(self) -> Self {
        Self(self.0.round_dp_with_strategy(2, RoundingStrategy::ToPositiveInfinity))
    }

    /// Rounded down to a whole cent, for a lower bound that is shown.
    #[must_use]
    pub fn down_to_cents(self) -> Self {
        Self(self.0.round_dp_with_strategy(2, RoundingStrategy::ToNegativeInfinity))
    }
}

/// In cents, rounded half up: `$0.65`. A positive amount below half a cent is `<$0.01`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = self.0.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        let text = match rounded.is_zero() && self.0 > Decimal::ZERO {
            true => "<$0.01".to_owned(),
            false if rounded.is_sign_negative() && !rounded.is_zero() => {
                format!("-${:.2}", rounded.abs())
            }
            false => format!("${:.2}", rounded.abs()),
        };
        f.pad(&text)
    }
}

/// A decimal number without sign and exponent, such as `0.04048`: up to nine digits before the
/// point and up to twelve after it.
impl FromStr for Usd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || format!("`{text}` is not an amount in US dollars, such as \"0.04\"");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 9) || !is_number(fraction, 12) {
            return Err(invalid());
        }
        Decimal::from_str(text).map(Self).map_err(|_| invalid())
    }
}

/// As a decimal string with at most six digits after the point, rounded half up.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = self.0.round_dp_with_strategy(STORED_DIGITS, RoundingStrategy::MidpointAwayFromZero);
        serializer.collect_str(&rounded.normalize())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Not below zero: what is left of an amount.
impl Sub for Usd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(Decimal::ZERO))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn sums_and_products_are_exact() {
        assert_eq!(usd("0.1") + usd("0.2"), usd("0.3"));
        assert_eq!(Usd::new(4_048, 5), usd("0.04048"));
        let year: Usd = std::iter::repeat_n(usd("0.000001"), 1_000_000).sum();
        assert_eq!(year, usd("1"));
        assert_eq!(usd("0.05").times(Decimal::from(3)), usd("0.15"));
        assert_eq!(usd("1") - usd("2"), Usd::ZERO);
        assert_eq!(usd("999999999").times(Decimal::MAX).decimal(), Decimal::MAX);
    }

    #[test]
    fn an_amount_is_shown_in_cents() {
        for (amount, shown) in [
            ("0", "$0.00"),
            ("0.0049", "<$0.01"),
            ("0.005", "$0.01"),
            ("0.645", "$0.65"),
            ("101.25", "$101.25"),
            ("3079.6875", "$3079.69"),
        ] {
            assert_eq!(usd(amount).to_string(), shown);
        }
        assert_eq!(usd("0.0101").up_to_cents(), usd("0.02"));
        assert_eq!(usd("0.0199").down_to_cents(), usd("0.01"));
    }

    #[test]
    fn amounts_are_decimal_text_in_both_directions() {
        for (amount, stored) in [("0.04048", "\"0.04048\""), ("5.00", "\"5\""), ("0.0000005", "\"0.000001\"")]
        {
            assert_eq!(serde_json::to_string(&usd(amount)).unwrap(), stored);
        }
        assert_eq!(serde_json::from_str::<Usd>("\"0.04\"").unwrap(), usd("0.04"));
        for invalid in ["", "-1", "1e3", "0,4", ".5", "5.", "1_000", "NaN", " 1", "1234567890"] {
            assert!(invalid.parse::<Usd>().is_err(), "{invalid}");
        }
        assert!(serde_json::from_str::<Usd>("0.04").is_err(), "a number may be a binary fraction");
    }
}
