//! Floats as Go's strconv writes them. Decides digits and exponents for the verbs e, f, g, b, x and for plain values; signs,
//! width and padding are `printf`.

/// No float has more digits than this, wherever its point is; what follows is zeros. Rust's own formatting takes no
/// precision beyond 65 535.
const MOST_DIGITS: usize = 1100;

/// As `%v`: the shortest digits that read back the same; with an exponent below 1e-4 and where more digits than both six and
/// those would be needed.
pub(crate) fn shortest(value: f64) -> String {
    float(value, b'g', None)
}

/// `(1+2i)`
pub(crate) fn complex(real: f64, imaginary: f64) -> String {
    let imaginary = shortest(imaginary);
    let sign = if imaginary.starts_with(['-', '+']) { "" } else { "+" };
    format!("({}{sign}{imaginary}i)", shortest(real))
}

/// `verb` is one of e, E, f, F, g, G, b, x, X; no `precision` means as many digits as it takes
/// (six for f).
pub(super) fn float(value: f64, verb: u8, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let size = value.abs();
    let text = match verb {
        b'e' | b'E' => exponential(size, precision),
        b'f' | b'F' => {
            let precision = precision.unwrap_or(6);
            let exact = precision.min(MOST_DIGITS);
            zeros_behind(format!("{size:.exact$}"), precision - exact)
        }
        b'b' => binary(size),
        b'x' | b'X' => hexadecimal(size, precision),
        _ => general(size, precision),
    };
    let text = if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
    format!("{sign}{text}")
}

fn zeros_behind(mut digits: String, count: usize) -> String {
    digits.extend(std::iter::repeat_n('0', count));
    digits
}

/// Digits with a point behind the first one, and the power of ten; as many as `precision` says behind the point.
fn scientific(size: f64, precision: Option<usize>) -> (String, i32) {
    let exact = match precision {
        Some(precision) => precision.min(MOST_DIGITS),
        // As many as it takes. Between two numbers of so many digits that are equally near, Go takes the even one: so does
        // rounding, and `{:e}` does not.
        None => format!("{size:e}").bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count() - 1,
    };
    let text = format!("{size:.exact$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let missing = precision.map_or(0, |precision| precision - exact);
    (zeros_behind(digits.into(), missing), exponent.parse().unwrap_or(0))
}

/// `1.5e+06`
fn exponential(size: f64, precision: Option<usize>) -> String {
    let (digits, exponent) = scientific(size, precision);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The shorter of both forms: an exponent below -4, and from the precision on (6 for the shortest digits).
fn general(size: f64, precision: Option<usize>) -> String {
    let (digits, exponent) = scientific(size, precision.map(|precision| precision.clamp(1, MOST_DIGITS) - 1));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let count = digits.len();
    let limit = match precision {
        None => 6,
        // Digits that are only zeros do not count, as long as the number is whole.
        Some(precision) if precision > count && i32::try_from(count).is_ok_and(|count| count > exponent) => count as i32,
        Some(precision) => precision.max(1) as i32,
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        return format!("{first}{dot}{rest}e{sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    match count > whole {
        true => format!("{}.{}", &digits[..whole], &digits[whole..]),
        false => format!("{digits}{}", "0".repeat(whole - count)),
    }
}

/// Mantissa and power of two: `4503599627370496p-52`.
fn binary(size: f64) -> String {
    let (mantissa, exponent) = parts(size);
    format!("{mantissa}p{exponent:+}")
}

/// The integer and the power of two of which a float is the product.
fn parts(size: f64) -> (u64, i32) {
    let bits = size.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `0x1.8p+01`
fn hexadecimal(size: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(size);
    if mantissa == 0 {
        let zeros = precision.unwrap_or(0);
        let dot = if zeros > 0 { "." } else { "" };
        return format!("0x0{dot}{}p+00", "0".repeat(zeros));
    }
    // One bit before the point, 60 after it.
    let shift = mantissa.leading_zeros() - 3;
    mantissa <<= shift;
    exponent += 60 - shift as i32;
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let drop = 60 - 4 * precision as u32;
        let (half, rest) = (1u64 << (drop - 1), mantissa & ((1 << drop) - 1));
        mantissa >>= drop;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let digits = match precision {
        Some(precision) if precision < digits.len() => digits[..precision].to_owned(),
        Some(precision) => {
            let missing = precision - digits.len();
            zeros_behind(digits, missing)
        }
        None => digits.trim_end_matches('0').to_owned(),
    };
    let dot = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{dot}{digits}p{sign}{:02}", mantissa >> 60, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_form_is_gos() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (2.5, "2.5"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (1e6, "1e+06"),
            (100_000.0, "100000"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
            (-0.0, "-0"),
            (1_238_970_597_209_550.3, "1.2389705972095502e+15"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::INFINITY, "+Inf"),
            (f64::MAX, "1.7976931348623157e+308"),
        ];
        for (value, text) in cases {
            assert_eq!(shortest(value), text);
        }
    }

    #[test]
    fn verbs_choose_the_form() {
        assert_eq!(float(1234.5678, b'e', Some(6)), "1.234568e+03");
        assert_eq!(float(1234.5678, b'f', Some(2)), "1234.57");
        assert_eq!(float(100_000.0, b'g', Some(3)), "1e+05");
        assert_eq!(float(100.0, b'g', Some(6)), "100");
        assert_eq!(float(1.0, b'b', None), "4503599627370496p-52");
        assert_eq!(float(1.0, b'x', None), "0x1p+00");
        assert_eq!(float(1.5, b'x', None), "0x1.8p+00");
        assert_eq!(float(1.999, b'x', Some(1)), "0x1.0p+01");
    }
}
