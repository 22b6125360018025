//! RabbitMQ's check against a stand-in, since the real one is too large for a test run: it says what the specification of
//! AMQP 0-9-1 says, and the check was tried by hand against RabbitMQ 3.10.8.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};

use crate::nerve::check::rabbitmq;

/// What the stand-in does at one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// The login is refused, with words.
    Refuses,
    /// The queue is empty: somebody lost the message.
    Loses,
    /// A frame longer than any.
    Floods,
    /// Frames that nobody asked for, without end.
    Chatters,
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.ok()?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let mut content = vec![0; size + 1];
    stream.read_exact(&mut content).await.ok()?;
    assert_eq!(content.pop(), Some(0xCE), "a frame ends");
    Some((head[0], content))
}

fn frame(kind: u8, channel: u16, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind][..], &channel.to_be_bytes(), &size, content, &[0xCE]].concat()
}

/// A stand-in for RabbitMQ: its side of the protocol by the specification, one queue, one login. Returns what was published,
/// and whether it was acknowledged.
async fn stand_in(mut stream: impl AsyncRead + AsyncWrite + Unpin, mood: Mood) -> (Vec<u8>, bool) {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(&header, b"AMQP\0\0\x09\x01");
    // Version 0-9, no properties, two mechanisms, one locale.
    let start = [&[0, 10, 0, 10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 14][..], b"PLAIN AMQPLAIN", &[0, 0, 0, 5], b"en_US"].concat();
    let _ = stream.write_all(&frame(1, 0, &start)).await;
    let (mut message, mut is_acked) = (Vec::new(), false);
    while let Some((kind, content)) = read_frame(&mut stream).await {
        match kind {
            1 => {
                is_acked |= content[..4] == [0, 60, 0, 80];
                for (kind, channel, answer) in answers(&content, mood, &message) {
                    let _ = stream.write_all(&frame(kind, channel, &answer)).await;
                }
            }
            2 => assert_eq!(content, [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]),
            _ => message = content,
        }
        if mood == Mood::Floods {
            let _ = stream.write_all(&[1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]).await;
        }
    }
    (message, is_acked)
}

/// What it answers to a method, byte for byte compared where a real one would refuse.
fn answers(content: &[u8], mood: Mood, message: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
    match (content[1], content[3]) {
        (10, 11) => {
            let able = b"\0\0\0\x31\x0ccapabilitiesF\0\0\0\x1f\x1cauthentication_failure_closet\x01";
            assert_eq!(content[4..], [&able[..], b"\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US"].concat());
            match mood {
                Mood::Refuses => vec![(1, 0, [&[0, 10, 0, 50, 1, 0x93, 14][..], b"ACCESS_REFUSED", &[0; 4]].concat())],
                Mood::Chatters => vec![(8, 0, Vec::new()); 100],
                // A heartbeat before it; channels 2047, frames of 131072, heartbeats each minute.
                _ => vec![(8, 0, Vec::new()), (1, 0, vec![0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60])],
            }
        }
        (10, 31) => {
            assert_eq!(content[4..], [0, 1, 0, 2, 0, 0, 0, 0]);
            Vec::new()
        }
        (10, 40) => {
            assert_eq!(content[4..], *b"\x01/\0\0");
            vec![(1, 0, vec![0, 10, 0, 41, 0])]
        }
        (20, 10) => vec![(1, 1, vec![0, 20, 0, 11, 0, 0, 0, 0])],
        (50, 10) => {
            assert_eq!(content[4..], *b"\0\0\x05nerve\0\0\0\0\0");
            vec![(1, 1, [&[0, 50, 0, 11][..], b"\x05nerve", &[0; 8]].concat())]
        }
        (60, 40) => {
            assert_eq!(content[4..], *b"\0\0\0\x05nerve\0");
            Vec::new()
        }
        (60, 70) if mood == Mood::Loses => vec![(1, 1, vec![0, 60, 0, 72, 0])],
        (60, 70) => {
            assert_eq!(content[4..], *b"\0\0\x05nerve\0");
            let got = [&[0, 60, 0, 71, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0][..], b"\x05nerve", &[0; 4]].concat();
            vec![(1, 1, got), (2, 1, vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]), (3, 1, message.to_vec())]
        }
        (60, 80) => {
            assert_eq!(content[4..], [0, 0, 0, 0, 0, 0, 0, 9, 0]);
            Vec::new()
        }
        (10, 50) => vec![(1, 0, vec![0, 10, 0, 51])],
        other => panic!("asked for {other:?}"),
    }
}

#[tokio::test]
async fn a_message_goes_through_a_stand_in_of_rabbitmq() {
    let (ours, theirs) = duplex(1 << 16);
    let (result, seen) = tokio::join!(rabbitmq::talk(ours, "guest", "guest"), stand_in(theirs, Mood::Well));
    result.unwrap();
    assert_eq!(seen, (b"nerve".to_vec(), true));
}

#[tokio::test]
async fn whatever_else_it_says_is_a_failure() {
    for (mood, words) in [
        (Mood::Refuses, "ACCESS_REFUSED"),
        (Mood::Loses, "60.72"),
        (Mood::Floods, "4294967295 bytes"),
        (Mood::Chatters, "16 frames"),
    ] {
        let (ours, theirs) = duplex(1 << 16);
        let (result, (_, is_acked)) = tokio::join!(rabbitmq::talk(ours, "guest", "guest"), stand_in(theirs, mood));
        let err = result.unwrap_err().to_string();
        assert!(err.contains(words) && !is_acked, "{mood:?}: {err}");
    }
    // Another version.
    let (ours, mut theirs) = duplex(1 << 16);
    theirs.write_all(b"AMQP\0\0\x08\0").await.unwrap();
    let err = rabbitmq::talk(ours, "guest", "guest").await.unwrap_err().to_string();
    assert!(err.contains("another version"), "{err}");
}
