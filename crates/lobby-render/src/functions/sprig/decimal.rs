//! sprig's arithmetic with decimals, so that 0.1 and 0.2 are 0.3. Decides what is done where the digits do not fit: as floats.

use lobby_template::{CallError, Type, Value};

use super::Named;
use super::number::float;
use crate::functions::arg::{Given, any, many, of};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("sprig_addf", many(&[], Type::Any, |_, args| fold(0.0, args, ADD))),
        ("sprig_add1f", of(&ONE, |_, args| fold(1.0, args, ADD))),
        ("sprig_subf", many(&ONE, Type::Any, |_, args| fold(float(any(args, 0)), rest(args), SUB))),
        ("sprig_mulf", many(&ONE, Type::Any, |_, args| fold(float(any(args, 0)), rest(args), MUL))),
        ("sprig_divf", many(&ONE, Type::Any, |_, args| divide(args))),
        ("sprig_maxf", many(&ONE, Type::Any, |_, args| Ok(most(args, f64::max)))),
        ("sprig_minf", many(&ONE, Type::Any, |_, args| Ok(most(args, f64::min)))),
    ]
}

fn rest(args: &[Value]) -> &[Value] {
    args.get(1..).unwrap_or_default()
}

/// The most or the least; NaN if one of them is NaN.
fn most(args: &[Value], pick: fn(f64, f64) -> f64) -> Value {
    let step = |one: f64, two: f64| if one.is_nan() || two.is_nan() { f64::NAN } else { pick(one, two) };
    args.iter().map(float).reduce(step).unwrap_or_default().into()
}

/// `digits` times ten to the power of `exponent`.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

/// Places after the point that a division has, as in the library decimal.
const PLACES: i32 = 16;

impl Decimal {
    /// What the float prints as.
    fn of(number: f64) -> Result<Self, CallError> {
        let shown = format!("{number:e}");
        let unfit = || CallError(format!("Cannot create a Decimal from {}", lobby_template::format::value(&number.into())));
        let (digits, exponent) = shown.split_once('e').ok_or_else(unfit)?;
        let places = digits.split_once('.').map_or(0, |(_, places)| places.len() as i32);
        let digits = digits.replace('.', "").parse().map_err(|_| unfit())?;
        Ok(Self { digits, exponent: exponent.parse::<i32>().map_err(|_| unfit())? - places })
    }

    fn to_float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// With that exponent, which is not larger; None: the digits do not fit.
    fn scaled(self, exponent: i32) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        self.digits.checked_mul(10_i128.checked_pow(u32::try_from(self.exponent - exponent).ok()?)?)
    }

    fn add(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        Some(Self { digits: self.scaled(exponent)?.checked_add(other.scaled(exponent)?)?, exponent })
    }

    fn sub(self, other: Self) -> Option<Self> {
        self.add(Self { digits: -other.digits, ..other })
    }

    fn mul(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, exponent: self.exponent.checked_add(other.exponent)? })
    }

    /// Rounded to [`PLACES`], halves away from zero.
    fn div(self, other: Self) -> Option<Self> {
        let places = self.exponent - other.exponent + PLACES;
        let power = 10_i128.checked_pow(places.unsigned_abs())?;
        let (over, under) = match places >= 0 {
            true => (self.digits.checked_mul(power)?, other.digits),
            false => (self.digits, other.digits.checked_mul(power)?),
        };
        let (quotient, left) = (over.checked_div(under)?, over.checked_rem(under)?);
        let goes_up = left.unsigned_abs() >= under.unsigned_abs() - left.unsigned_abs();
        let up = if goes_up { over.signum() * under.signum() } else { 0 };
        Some(Self { digits: quotient + up, exponent: -PLACES })
    }
}

/// An operation on decimals, and on floats for where the digits do not fit.
type Operation = (fn(Decimal, Decimal) -> Option<Decimal>, fn(f64, f64) -> f64);

const ADD: Operation = (Decimal::add, |one, two| one + two);
const SUB: Operation = (Decimal::sub, |one, two| one - two);
const MUL: Operation = (Decimal::mul, |one, two| one * two);
const DIV: Operation = (Decimal::div, |one, two| one / two);

fn fold(start: f64, args: &[Value], (exact, rough): Operation) -> Given {
    let mut result = Decimal::of(start)?;
    for arg in args {
        let next = Decimal::of(float(arg))?;
        result = match exact(result, next) {
            Some(result) => result,
            None => Decimal::of(rough(result.to_float(), next.to_float()))?,
        };
    }
    Ok(result.to_float().into())
}

fn divide(args: &[Value]) -> Given {
    if rest(args).iter().any(|by| float(by) == 0.0) {
        return Err("decimal division by 0".into());
    }
    fold(float(any(args, 0)), rest(args), DIV)
}
