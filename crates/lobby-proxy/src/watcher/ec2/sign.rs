//! Signature Version 4 of AWS. Decides what a request's `Authorization` is; pure, the time of day is a parameter.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::who::Keys;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    /// As in the `Host` header: without the usual port.
    pub(super) host: &'a str,
    /// As it is sent, beginning with a slash.
    pub(super) path: &'a str,
    /// Names and values as they are sent (escaped).
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Others than `Host` and those that signing adds.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers that make the request a signed one.
pub(super) fn sign(request: &Signable<'_>, keys: &Keys, now: SystemTime) -> Vec<(String, String)> {
    let at = stamp(now);
    let mut added = vec![("x-amz-date".to_owned(), at.clone())];
    added.extend(keys.token.iter().map(|token| ("x-amz-security-token".to_owned(), token.0.clone())));
    let mut headers: Vec<(String, String)> = vec![("host".into(), request.host.into())];
    headers.extend(added.iter().cloned());
    headers.extend(request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), trimmed(value))));
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let day = &at[..8];
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let canonical = canonical(request, &headers, &names);
    let to_sign = format!("{ALGORITHM}\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let steps = [day, request.region, request.service, "aws4_request", &to_sign];
    let secret = format!("AWS4{}", keys.secret.0).into_bytes();
    let signature = steps.iter().fold(secret, |key, step| hmac(&key, step.as_bytes()));
    let credential = format!("Credential={}/{scope}", keys.id);
    let text = format!("{ALGORITHM} {credential}, SignedHeaders={names}, Signature={}", hex(&signature));
    added.push(("authorization".into(), text));
    added
}

fn canonical(request: &Signable<'_>, headers: &[(String, String)], names: &str) -> String {
    let mut query = request.query.to_vec();
    query.sort_unstable();
    let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path: Vec<_> = request.path.split('/').map(escape).collect();
    format!("{}\n{}\n{query}\n{headers}\n{names}\n{}", request.method, path.join("/"), hex(&Sha256::digest(request.body)))
}

/// Blanks around it go, several within become one.
fn trimmed(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// All but what RFC 3986 leaves unreserved.
pub(super) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length.
    Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20150830T123600Z`
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day so many days after 1970-01-01. Years begin in March here, so that the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    // 719 468 days before 1970 is 0000-03-01; 146 097 days are 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Secret;

    /// Keys, time and token of AWS's published test suite for signature version 4.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuw\
        thAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0\
        iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn authorization(request: &Signable<'_>, token: Option<&str>) -> String {
        let secret = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
        let keys = Keys { id: "AKIDEXAMPLE".into(), secret, token: token.map(|token| Secret(token.into())) };
        sign(request, &keys, at(1_440_938_160)).pop().unwrap().1
    }

    #[test]
    fn the_published_vectors_are_met() {
        let get = Signable {
            method: "GET",
            host: "example.amazonaws.com",
            path: "/",
            query: &[],
            headers: &[],
            body: b"",
            region: "us-east-1",
            service: "service",
        };
        let post = Signable { method: "POST", ..get };
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let spaced = [("My-Header1", " value1"), ("My-Header2", "\"a   b   c\"")];
        let query = [("Param2", "value2"), ("Param1", "value1")];
        for (name, request, token, headers, signature) in [
            ("get-vanilla", get, None, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "get-vanilla-query-order-key-case",
                Signable { query: &query, ..get },
                None,
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-header-value-trim",
                Signable { headers: &spaced, ..get },
                None,
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            ("post-vanilla", post, None, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-x-www-form-urlencoded",
                Signable { headers: &form, body: b"Param1=value1", ..post },
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                post,
                Some(TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            let want = format!("{credential}, SignedHeaders={headers}, Signature={signature}");
            assert_eq!(authorization(&request, token), want, "{name}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(at(seconds)), want);
        }
    }
}
