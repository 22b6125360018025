//! Sealing, opening, and what is told apart; changed keyrings.

use super::*;

fn ring(cluster: &str, keys: &[u8]) -> Keyring {
    let keys: Vec<_> = keys.iter().map(|byte| Key::from_bytes([*byte; 32])).collect();
    Keyring::new(cluster, &keys).unwrap()
}

#[test]
fn the_first_key_seals_and_all_open() {
    let sealed = ring("a", &[1]).seal(b"hello", || [7; 24]);
    assert_eq!(ring("a", &[1]).open(&sealed), Ok(b"hello".to_vec()));
    assert_eq!(ring("a", &[2, 1]).open(&sealed), Ok(b"hello".to_vec()));
    assert_eq!(ring("a", &[]).seal(b"hello", || [7; 24]).len(), PREAMBLE_BYTES + 5);
    assert_eq!(ring("a", &[]).open(&ring("a", &[]).seal(b"hello", || [7; 24])), Ok(b"hello".to_vec()));
}

#[test]
fn foreign_and_wrong_key_are_told_apart() {
    let sealed = ring("a", &[1]).seal(b"hello", || [7; 24]);
    assert_eq!(ring("b", &[1]).open(&sealed), Err(OpenError::Foreign));
    assert_eq!(ring("a", &[2]).open(&sealed), Err(OpenError::WrongKey));
    assert_eq!(ring("a", &[]).open(&sealed), Err(OpenError::WrongKey));
    assert_eq!(ring("a", &[1]).open(&ring("a", &[]).seal(b"hello", || [7; 24])), Err(OpenError::WrongKey));
    assert_eq!(ring("a", &[1]).open(&sealed[..20]), Err(OpenError::Garbage));
    let mut forged = sealed;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(ring("a", &[1]).open(&forged), Err(OpenError::WrongKey));
}

#[test]
fn keys_read_base64_and_stay_secret() {
    assert!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse::<Key>().is_ok());
    assert_eq!("AAEC".parse::<Key>(), Err(ParseKeyError));
    assert_eq!(format!("{:?}", Key::from_bytes([1; 32])), "Key(…)");
    let twice = [Key::from_bytes([1; 32]), Key::from_bytes([1; 32])];
    assert_eq!(Keyring::new("a", &twice).unwrap_err(), KeyringError::Alike);
    let key = Key::from_bytes([1; 32]);
    assert_eq!(key.to_base64().parse(), Ok(key.clone()));
    assert_eq!(key.fingerprint().parse(), Ok(key.name()));
    assert_eq!("+123456789abcdef".parse::<KeyName>(), Err(ParseKeyError));
    assert_eq!(format!("{:?}", ring("a", &[1, 2])), "Keyring { keys: 2, .. }");
}

/// Two different keys with the same byte on the wire.
fn alike() -> [Key; 2] {
    let first = Key::from_bytes([1; 32]);
    let numbered = |n: u64| Key::from_bytes(std::array::from_fn(|i| n.to_le_bytes()[i % 8]));
    let other = (0..100_000).map(numbered).find(|key| key.mark() == first.mark() && *key != first);
    [first, other.unwrap()]
}

#[test]
fn keys_with_the_same_byte_on_the_wire_are_both_tried() {
    let [one, two] = alike();
    let both = Keyring::new("a", &[one.clone(), two.clone()]).unwrap();
    for key in [one, two] {
        let alone = Keyring::new("a", &[key]).unwrap();
        assert_eq!(both.open(&alone.seal(b"hello", || [7; 24])), Ok(b"hello".to_vec()));
        let secrets = both.stream_secrets(&alone.preamble()).unwrap();
        assert!(secrets.len() == 2 && secrets.contains(&alone.stream_secret().unwrap()));
    }
    assert_eq!(ring("a", &[]).stream_secrets(&ring("a", &[]).preamble()), Ok(Vec::new()));
    assert_eq!(ring("a", &[1]).stream_secrets(&ring("a", &[]).preamble()), Err(OpenError::WrongKey));
}

#[test]
fn changes_make_new_keyrings() {
    let (one, two) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
    let both = ring("a", &[1]).with(&two).unwrap();
    let names = |ring: &Keyring| ring.names().collect::<Vec<_>>();
    assert_eq!(names(&both), [one.name(), two.name()]);
    assert_eq!(both.with(&two).unwrap_err(), KeyringError::Alike);
    assert_eq!(names(&both.sealing_with(two.name()).unwrap()), [two.name(), one.name()]);
    assert!(ring("a", &[1]).sealing_with(two.name()).is_none());
    assert_eq!(names(&both.without(one.name()).unwrap()), [two.name()]);
    assert_eq!(both.summary().unwrap(), format!("{},{}", one.name(), two.name()));
    assert_eq!(ring("a", &[1, 2, 3, 4, 5]).with(&Key::from_bytes([6; 32])).unwrap_err(), KeyringError::TooMany);
}
