use std::iter;

use base64::Engine as _;
use proptest::prelude::*;

use super::{signature::BASE64, *};
use crate::{crypto::HmacSha1, record::FieldValue};

const THEN: Timestamp = Timestamp(1_700_000_000_000);

fn codec(secret: &str) -> FlaskCodec {
    FlaskCodec::new(secret.as_bytes(), iter::empty(), LIFETIME)
}

fn document(text: &str) -> FlaskDocument {
    FlaskDocument::read(text).unwrap_or_else(|| panic!("{text}"))
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.into())
}

/// What Flask 3.1 wrote, under `dev-secret-1`.
const VECTORS: [(&str, &str); 3] = [
    (
        r#"{"_permanent":true,"name":"Zo\u00eb","user_id":42}"#,
        "eyJfcGVybWFuZW50Ijp0cnVlLCJuYW1lIjoiWm9cdTAwZWIiLCJ1c2VyX2lkIjo0Mn0.ZVPxAA.63xJTXKL1v6VXY1vSvq592XfU2I",
    ),
    (
        r#"{"k":"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"}"#,
        ".eJyrVspWslJKTEoehEipFgBR_zuS.ZVPxAA.47iZv9XjLx0HSlC1TYia0btv72M",
    ),
    (
        r#"{"_flashes":[{" t":["message","hi"]}]}"#,
        "eyJfZmxhc2hlcyI6W3siIHQiOlsibWVzc2FnZSIsImhpIl19XX0.ZVPxAA.-m3bs_Umy3bKhF2P0LyS0tS2nvA",
    ),
];

#[test]
fn what_flask_wrote_is_read_and_written_alike() {
    for (json, cookie) in VECTORS {
        let opened = codec("dev-secret-1").open(cookie.as_bytes(), THEN).unwrap();
        assert_eq!(opened, OpenedFlaskCookie { document: document(json), signed: THEN, current: true });
        let written = codec("dev-secret-1").seal(&opened.document, THEN);
        // What is deflated need only be readable.
        if !cookie.starts_with('.') {
            assert_eq!(written, cookie);
        }
        assert_eq!(codec("dev-secret-1").open(written.as_bytes(), THEN), Ok(opened));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (_, cookie) in VECTORS {
        let codec = codec("dev-secret-1");
        let mac = |cookie: &[u8]| {
            let at = cookie.iter().rposition(|b| *b == b'.')?;
            BASE64.decode(&cookie[at + 1..]).ok()
        };
        for bit in 0..cookie.len() * 8 {
            let mut bent = cookie.as_bytes().to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            // Two spellings of one signature: the last letter holds two bits that say nothing, which Python passes over.
            let same = bit / 8 == cookie.len() - 1 && mac(&bent) == mac(cookie.as_bytes());
            assert_eq!(codec.open(&bent, THEN).is_ok(), same, "bit {bit}");
        }
        for length in 0..cookie.len() {
            assert!(codec.open(&cookie.as_bytes()[..length], THEN).is_err(), "{length}");
        }
    }
}

#[test]
fn a_cookie_is_as_old_as_flask_says() {
    let (_, cookie) = VECTORS[0];
    let month = LIFETIME.as_millis() as u64;
    for (now, wanted) in [
        (THEN.0 - 1, Err(CodecError::Future)),
        (THEN.0, Ok(())),
        (THEN.0 + month, Ok(())),
        (THEN.0 + month + 999, Ok(())),
        (THEN.0 + month + 1000, Err(CodecError::Expired)),
        (0, Err(CodecError::Future)),
    ] {
        assert_eq!(codec("dev-secret-1").open(cookie.as_bytes(), Timestamp(now)).map(drop), wanted, "{now}");
    }
}

#[test]
fn fallbacks_open_and_the_current_key_signs() {
    let old = codec("first").seal(&document(r#"{"a":1}"#), THEN);
    let newer = codec("second").seal(&document(r#"{"a":1}"#), THEN);
    let rotated = FlaskCodec::new(b"third", [&b"first"[..], b"second"].into_iter(), LIFETIME);
    for cookie in [&old, &newer] {
        assert!(!rotated.open(cookie.as_bytes(), THEN).unwrap().current);
    }
    let now = rotated.seal(&document(r#"{"a":1}"#), THEN);
    assert!(rotated.open(now.as_bytes(), THEN).unwrap().current);
    assert_eq!(codec("first").open(now.as_bytes(), THEN), Err(CodecError::Signature));
    assert_eq!(codec("third").open(old.as_bytes(), THEN), Err(CodecError::Signature));
}

#[test]
fn what_is_no_cookie_of_flask_is_told_apart() {
    let codec = codec("dev-secret-1");
    let signed = |payload: &str| codec.signature.sign(payload.to_owned(), 1_700_000_000);
    let key = HmacSha1::new(&HmacSha1::new(b"dev-secret-1").sign(&[b"cookie-session"]));
    let of = |text: String| format!("{text}.{}", BASE64.encode(key.sign(&[text.as_bytes()])));
    let stamped = |stamp: &[u8]| of(format!("e30.{}", BASE64.encode(stamp)));
    assert!(codec.open(stamped(&[0x65, 0x53, 0xf1, 0]).as_bytes(), THEN).is_ok());
    for (cookie, wanted) in [
        (String::new(), CodecError::Malformed),
        ("abc".to_owned(), CodecError::Malformed),
        ("a.b".to_owned(), CodecError::Signature),
        ("..".to_owned(), CodecError::Signature),
        (of("e30".to_owned()), CodecError::Malformed),
        (signed(&BASE64.encode("[1]")), CodecError::Unreadable),
        (signed(&BASE64.encode(r#"{" t":[1]}"#)), CodecError::Unreadable),
        (signed(&BASE64.encode(b"\xff")), CodecError::Unreadable),
        (signed("!"), CodecError::Unreadable),
        (stamped(&[1, 0, 0, 0, 0]), CodecError::Malformed),
        // Nine bytes, of which the last eight would be a good time.
        (stamped(&[1, 0, 0, 0, 0, 0x65, 0x53, 0xf1, 0]), CodecError::Malformed),
    ] {
        assert_eq!(codec.open(cookie.as_bytes(), THEN), Err(wanted), "{cookie}");
    }
}

#[test]
fn what_is_not_changed_stays_as_it_was_written() {
    let before =
        r#"{"z":1.50,"a":[ 1 ],"big":123456789012345678901234567890,"n":NaN,"t":{" t":[1]},"\ud800":2}"#;
    let mut changed = document(before);
    assert_eq!(changed.write(), before, "order and spelling");
    assert!(changed.set("role", &text("Zoë")) && changed.set("a", &FieldValue::Json("{\"b\": 1}".into())));
    assert!(changed.remove("z") && !changed.remove("z"));
    let after = r#"{"a":{"b":1},"big":123456789012345678901234567890,"n":NaN,"t":{" t":[1]},"\ud800":2,"role":"Zo\u00eb"}"#;
    assert_eq!(changed.write(), after);
    let mut sorted = document(r#"{"a":1,"c":2}"#);
    assert!(sorted.set("b", &text("")));
    assert_eq!(sorted.write(), r#"{"a":1,"b":"","c":2}"#);
    assert!(!sorted.set("d", &FieldValue::Json("9".repeat(5000).into())) && !sorted.contains("d"));
}

#[test]
fn values_as_an_app_is_shown_them() {
    let all = document(
        r#"{"s":"Zo\u00eb","i":42,"c":"a\nb","n":NaN,"u":{" u":"0123456789abcdef0123456789abcdef"},"t":{" t":["a"]},"h":"\ud800"}"#,
    );
    for (name, wanted) in [
        ("s", Some(text("Zoë"))),
        ("i", Some(FieldValue::Json("42".into()))),
        ("c", None),
        ("n", None),
        ("u", Some(text("01234567-89ab-cdef-0123-456789abcdef"))),
        ("t", Some(FieldValue::Json("[\"a\"]".into()))),
        ("h", None),
        ("absent", None),
    ] {
        assert_eq!(all.get(name), wanted, "{name}");
    }
    assert!(all.contains("n") && all.names().count() == 7);
}

#[test]
fn a_session_whose_one_name_is_a_tag_is_no_value_of_that_type() {
    let mut one = FlaskDocument::default();
    assert!(one.is_empty() && one.set(" t", &text("x")));
    assert_eq!(one.write(), r#"{" di":{" t__":"x"}}"#);
    assert_eq!(FlaskDocument::read(&one.write()), Some(one));
}

#[test]
fn permanence_is_what_python_takes_for_true() {
    for (value, wanted) in [
        ("true", true),
        ("1", true),
        ("\"no\"", true),
        ("[0]", true),
        ("0.9", true),
        ("NaN", true),
        ("false", false),
        ("null", false),
        ("0", false),
        ("-0.0e9", false),
        ("\"\"", false),
        ("[]", false),
        ("{}", false),
    ] {
        assert_eq!(document(&format!("{{\"_permanent\":{value}}}")).is_permanent(), wanted, "{value}");
    }
    assert!(!FlaskDocument::default().is_permanent());
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("( t| di| b| m| u| d|[a-c_]{1,3}|.)", inner, 0..3)
                .prop_map(|all| all.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), deflated in any::<bool>()) {
        let codec = codec("k");
        let _ = codec.open(&bytes, THEN);
        let dot = if deflated { "." } else { "" };
        let signed = codec.signature.sign(format!("{dot}{}", BASE64.encode(&bytes)), 1_700_000_000);
        let _ = codec.open(signed.as_bytes(), THEN);
    }

    #[test]
    fn what_is_set_comes_back(all in prop::collection::btree_map("( t| di|[a-z_]{1,6}|.{1,4})", json(), 0..6)) {
        let mut document = FlaskDocument::default();
        for (name, value) in &all {
            let value = FieldValue::Json(value.to_string().into());
            prop_assert!(document.set(name, &value));
        }
        let cookie = codec("k").seal(&document, THEN);
        let opened = codec("k").open(cookie.as_bytes(), THEN).unwrap().document;
        prop_assert_eq!(&opened, &document);
        prop_assert_eq!(opened.names().collect::<Vec<_>>(), all.keys().cloned().collect::<Vec<_>>());
        for (name, wanted) in &all {
            let plain = wanted.as_str().is_none_or(|text| !text.chars().any(char::is_control));
            let found = opened.get(name).map(|value| match value {
                FieldValue::Text(text) => serde_json::Value::from(&*text),
                FieldValue::Json(json) => serde_json::from_str(&json).unwrap(),
            });
            prop_assert_eq!(found.as_ref(), Some(wanted).filter(|_| plain), "{}", name);
        }
    }
}
