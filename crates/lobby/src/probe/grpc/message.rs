//! The two messages of gRPC's health service as bytes: `HealthCheckRequest` and `HealthCheckResponse`, each behind the
//! five bytes that gRPC puts before a message.
//!
//! Fields that are not known are skipped, as protobuf demands. Not here: how they are sent.

use std::fmt;

/// How a service is, in the words of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The server does not know.
    Unknown,
    /// It serves.
    Serving,
    /// It does not.
    NotServing,
    /// There is no such service; not used in answers to this question, but it may be.
    ServiceUnknown,
    /// A number that the standard does not have.
    Other(u64),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::Serving => f.write_str("SERVING"),
            Self::NotServing => f.write_str("NOT_SERVING"),
            Self::ServiceUnknown => f.write_str("SERVICE_UNKNOWN"),
            Self::Other(number) => write!(f, "status {number}"),
        }
    }
}

/// Why bytes are not the answer. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// It says so itself; we offer no compression.
    #[error("the answer is compressed, which was not asked for")]
    Compressed,
    /// Less, or more than one message.
    #[error("the answer is not one whole message")]
    NotOne,
    /// The message is not protobuf.
    #[error("the answer is not a message of the health service")]
    Garbage,
}

/// The question about a service; the empty name is that of the whole server.
pub(super) fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        // Field 1, with a length.
        message.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    // A target has at most 32 KiB.
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// What an answer says.
pub(super) fn state(bytes: &[u8]) -> Result<State, AnswerError> {
    let (head, mut left) = bytes.split_first_chunk::<5>().ok_or(AnswerError::NotOne)?;
    let [flag, length @ ..] = *head;
    match flag {
        0 => {}
        1 => return Err(AnswerError::Compressed),
        _ => return Err(AnswerError::Garbage),
    }
    if u32::from_be_bytes(length) as usize != left.len() {
        return Err(AnswerError::NotOne);
    }
    // A field that is not there is zero; of several, the last counts.
    let mut state = 0;
    while !left.is_empty() {
        let key = varint(&mut left)?;
        match (key >> 3, key & 7) {
            (0, _) => return Err(AnswerError::Garbage),
            (1, 0) => state = varint(&mut left)?,
            (_, 0) => drop(varint(&mut left)?),
            (_, 1) => skip(&mut left, 8)?,
            (_, 2) => {
                let length = varint(&mut left)?;
                skip(&mut left, length)?;
            }
            (_, 5) => skip(&mut left, 4)?,
            _ => return Err(AnswerError::Garbage),
        }
    }
    Ok(match state {
        0 => State::Unknown,
        1 => State::Serving,
        2 => State::NotServing,
        3 => State::ServiceUnknown,
        other => State::Other(other),
    })
}

/// A number in groups of seven bits, the lowest first; at most ten of them.
fn varint(left: &mut &[u8]) -> Result<u64, AnswerError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = left.split_first().ok_or(AnswerError::Garbage)?;
        *left = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(AnswerError::Garbage)
}

fn skip(left: &mut &[u8], n_bytes: u64) -> Result<(), AnswerError> {
    let n_bytes = usize::try_from(n_bytes).map_err(|_| AnswerError::Garbage)?;
    *left = left.get(n_bytes..).ok_or(AnswerError::Garbage)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
    }

    #[test]
    fn questions() {
        assert_eq!(question(""), [0; 5]);
        assert_eq!(question("ab"), *b"\0\0\0\0\x04\x0a\x02ab");
        let long = "x".repeat(300);
        assert_eq!(question(&long)[..8], *b"\0\0\0\x01\x2f\x0a\xac\x02");
        assert_eq!(question(&long).len(), 5 + 3 + 300);
    }

    #[test]
    fn answers() {
        let cases: &[(&[u8], Result<State, AnswerError>)] = &[
            (b"", Ok(State::Unknown)),
            (b"\x08\x00", Ok(State::Unknown)),
            (b"\x08\x01", Ok(State::Serving)),
            (b"\x08\x02", Ok(State::NotServing)),
            (b"\x08\x03", Ok(State::ServiceUnknown)),
            (b"\x08\x80\x01", Ok(State::Other(128))),
            (b"\x08\x02\x08\x01", Ok(State::Serving)),
            (b"\x12\x02xy\x08\x01\x10\xff\x01\x1d1234\x1912345678", Ok(State::Serving)),
            (b"\x08", Err(AnswerError::Garbage)),
            (b"\x00\x01", Err(AnswerError::Garbage)),
            (b"\x0b\x01", Err(AnswerError::Garbage)),
            (b"\x12\x03xy", Err(AnswerError::Garbage)),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err(AnswerError::Garbage)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err(AnswerError::Garbage)),
        ];
        for (message, want) in cases {
            assert_eq!(state(&framed(message)), *want, "{}", message.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_one_whole_message() {
        for bytes in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\x02\x08", b"\0\0\0\0\x02\x08\x01\0\0\0\0\0"] {
            assert_eq!(state(bytes), Err(AnswerError::NotOne), "{}", bytes.escape_ascii());
        }
        assert_eq!(state(b"\0\xff\xff\xff\xff"), Err(AnswerError::NotOne));
        assert_eq!(state(b"\x01\0\0\0\x02\x08\x01"), Err(AnswerError::Compressed));
        assert_eq!(state(b"\x02\0\0\0\x02\x08\x01"), Err(AnswerError::Garbage));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = state(&bytes);
            let _ = state(&framed(&bytes));
        }
    }
}
