//! A rendered body that many answers share: its plain bytes, and its gzip form, made once when first asked for.
//!
//! Also what decides which of them, or 304, an answer gets.

use std::io::Write;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::OnceCell;

use crate::answer;

/// Bodies below this size are not worth compressing.
const GZIP_FROM: usize = 1024;

/// Bodies above this size are compressed on a thread of their own: about 0.2 ms of work.
const GZIP_ASIDE: usize = 32 << 10;

/// What an answer depends on beside its request line.
const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("accept-encoding"));

/// One rendered body.
#[derive(Debug)]
pub(crate) struct Body {
    plain: Bytes,
    gzip: OnceCell<Bytes>,
}

impl Body {
    pub(crate) fn new(plain: Vec<u8>) -> Self {
        Self { plain: plain.into(), gzip: OnceCell::new() }
    }

    /// The answer with this body, compressed if the client takes that; 304 if it holds the body with this tag already.
    pub(crate) async fn answer(&self, request: &HeaderMap, etag: HeaderValue) -> Response {
        if holds(request, &etag) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag), VARY]).into_response();
        }
        let mut response = self.encoded(request, answer::JSON).await;
        response.headers_mut().insert(header::ETAG, etag);
        response
    }

    /// The answer with this body of this type, compressed if the client takes that.
    pub(crate) async fn encoded(&self, request: &HeaderMap, content_type: HeaderValue) -> Response {
        let gzip = if self.plain.len() >= GZIP_FROM && takes_gzip(request) { self.gzip().await } else { None };
        let encoded = gzip.is_some();
        let bytes = gzip.unwrap_or_else(|| self.plain.clone());
        let mut response = ([(header::CONTENT_TYPE, content_type), VARY], bytes).into_response();
        if encoded {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// Its bytes, shared.
    pub(crate) fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// Its bytes as they are, without compression.
    pub(crate) const fn len(&self) -> usize {
        self.plain.len()
    }

    /// The compressed body. `None` when the thread that should make it is not to be had, as while the agent stops.
    async fn gzip(&self) -> Option<Bytes> {
        let make = async || {
            if self.plain.len() <= GZIP_ASIDE {
                return Ok(compress(&self.plain));
            }
            let plain = self.plain.clone();
            tokio::task::spawn_blocking(move || compress(&plain)).await
        };
        self.gzip.get_or_try_init(make).await.ok().cloned()
    }
}

fn compress(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("writing to memory does not fail").into()
}

/// The weak tag of a body that these numbers determine.
pub(crate) fn etag<const N: usize>(numbers: [u64; N]) -> HeaderValue {
    let text = format!("W/\"{}\"", numbers.map(|number| number.to_string()).join("-"));
    HeaderValue::try_from(text).expect("digits, dashes and quotes are a header value")
}

/// Whether the client holds the body with this tag.
fn holds(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = etag.to_str().map(opaque);
    let texts = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|tag| tag.trim() == "*" || ours.as_ref().is_ok_and(|ours| opaque(tag) == *ours))
}

fn takes_gzip(request: &HeaderMap) -> bool {
    let texts = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let takes = |item: &str| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip") || coding == "*");
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        named && weight.is_ok_and(|weight| weight > 0.0)
    };
    texts.flat_map(|text| text.split(',')).any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn accept_encoding() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;q=x", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, value)), want, "{value:?}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn if_none_match() {
        let tag = etag([7, 9]);
        for (value, want) in [
            ("W/\"7-9\"", true),
            ("\"7-9\"", true),
            ("\"x\", W/\"7-9\"", true),
            ("*", true),
            ("W/\"7-8\"", false),
            ("7-9", false),
        ] {
            assert_eq!(holds(&headers(header::IF_NONE_MATCH, value), &tag), want, "{value:?}");
        }
    }
}
