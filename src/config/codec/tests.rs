use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ANY_SIZE: Size<u64> = Size { min: 0, max: u64::MAX };
const ANY_TIME: Time = Time { min: Duration::ZERO, max: Duration::from_millis(u64::MAX) };
const ANY_CPUS: Cpus = Cpus { min: 0, max: u32::MAX };
const ANY_COUNT: Count<u32> = Count { min: 1, max: 10 };

fn text(text: &str) -> Raw {
    Raw::Text(text.into())
}

fn read<C: Codec>(codec: &C, raw: &Raw) -> Result<C::Value, String> {
    codec.read(raw, Path::new("/base"))
}

/// What a flag's text gives, or the error.
fn of_text<C: Codec>(codec: &C, value: &str) -> Result<C::Value, String> {
    read(codec, &text(value))
}

/// A shown value as a file would bring it back.
fn again(value: &Value) -> Raw {
    match value {
        Value::String(text) => Raw::Text(text.clone()),
        Value::Integer(_) | Value::Float(_) => Raw::Number(value.to_string()),
        other => panic!("{other} is no scalar"),
    }
}

#[test]
fn sizes() {
    for (written, bytes) in [
        ("0", 0),
        ("1000", 1000),
        ("1B", 1),
        ("512MiB", 512 << 20),
        ("512 MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("0.5KiB", 512),
        ("2TiB", 2 << 40),
        ("3kB", 3000),
        ("10MB", 10_000_000),
        ("1GB", 1_000_000_000),
        ("0.001kB", 1),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(of_text(&ANY_SIZE, written), Ok(bytes), "{written}");
    }
    for wrong in [
        "",
        "MiB",
        "-1",
        "1 2",
        "512M",
        "512m",
        "512mib",
        "1e3",
        ".5GiB",
        "5.GiB",
        "0.1B",
        "1.5",
        "0.0001kB",
        "1  MiB",
        " 1MiB",
        "١MiB",
        "18446744073709551616",
        "99999999999TiB",
        "none",
    ] {
        let error = of_text(&ANY_SIZE, wrong).unwrap_err();
        assert!(error.contains("is not a size") && error.contains("512MiB"), "{wrong}: {error}");
        assert!(error.starts_with(&format!("\"{wrong}\"")), "{wrong}: {error}");
    }
    for wrong in [Raw::Boolean(true), Raw::List(vec![]), Raw::Other("a date")] {
        assert!(read(&ANY_SIZE, &wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(read(&ANY_SIZE, &Raw::Number("4096".into())), Ok(4096));
    let small = Size { min: 1 << 10, max: 1 << 20_u32 };
    assert_eq!(of_text::<Size<u32>>(&small, "1MiB"), Ok(1 << 20));
    assert_eq!(
        of_text(&small, "2MiB"),
        Err("\"2MiB\" is too much: at most \"1MiB\"".into()),
        "a value out of bounds is refused, not cut"
    );
    assert_eq!(of_text(&small, "8TiB"), Err("\"8TiB\" is too much: at most \"1MiB\"".into()));
    assert_eq!(of_text(&small, "10"), Err("10 is too little: at least \"1KiB\"".into()));
}

#[test]
fn durations() {
    for (written, millis) in [
        ("0ms", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1_500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("0.5h", 1_800_000),
        ("7d", 604_800_000),
        ("90 s", 90_000),
    ] {
        assert_eq!(of_text(&ANY_TIME, written), Ok(Duration::from_millis(millis)), "{written}");
    }
    for wrong in ["", "s", "-1s", "1h30m", "1.5ms", "1 min", "1M", "1S", "1e3s", "soon"] {
        let error = of_text(&ANY_TIME, wrong).unwrap_err();
        assert!(error.contains("is not a duration") && error.contains("30s"), "{wrong}: {error}");
    }
    // A bare number is seconds to some and milliseconds to others.
    for raw in [text("30"), Raw::Number("30".into())] {
        assert!(read(&ANY_TIME, &raw).unwrap_err().contains("it has no unit"));
    }
    let short = Time { min: Duration::from_secs(1), max: Duration::from_secs(60) };
    assert_eq!(of_text(&short, "2m"), Err("\"2m\" is too much: at most \"1m\"".into()));
    assert_eq!(of_text(&short, "1ms"), Err("\"1ms\" is too little: at least \"1s\"".into()));
}

#[test]
fn cores_and_counts() {
    for (written, millis) in [("1", 1000), ("0.5", 500), ("2.250", 2250), ("0.001", 1)] {
        assert_eq!(of_text(&ANY_CPUS, written), Ok(millis), "{written}");
        assert_eq!(read(&ANY_CPUS, &Raw::Number(written.into())), Ok(millis), "{written}");
    }
    for wrong in ["", "half", "-1", "0.0001", "1,5", "inf", "nan", "500m"] {
        assert!(of_text(&ANY_CPUS, wrong).is_err(), "{wrong}");
    }
    assert_eq!(of_text(&ANY_COUNT, "10"), Ok(10));
    for wrong in ["", "0", "11", "1.5", "-1", "+1", "4294967297"] {
        assert!(of_text(&ANY_COUNT, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_word_stands_for_nothing() {
    let codec = Maybe { word: "none", some: ANY_TIME };
    assert_eq!(of_text(&codec, "none"), Ok(None));
    assert_eq!(of_text(&codec, "1s"), Ok(Some(Duration::from_secs(1))));
    assert!(of_text(&codec, "never").unwrap_err().ends_with(", or \"none\""));
    assert_eq!(codec.show(&None), Value::String("none".into()));
}

#[test]
fn paths_start_at_the_place_that_names_them() {
    let codec = Location { metavar: "FILE" };
    for (written, path) in
        [("a/b", "/base/a/b"), ("./a", "/base/a"), ("/x//y/", "/x/y"), ("../z", "/base/../z")]
    {
        assert_eq!(of_text(&codec, written), Ok(PathBuf::from(path)), "{written}");
    }
    assert!(of_text(&codec, "a\0b").is_err());
    assert!(read(&codec, &Raw::Number("1".into())).is_err());
}

#[test]
fn what_is_text_must_be_written_as_text() {
    let codec = Text { metavar: "TEXT", check: |text| Ok(text.into()) };
    let error = read(&codec, &Raw::Number("1000".into())).unwrap_err();
    assert_eq!(error, "1000 is not text: write it in quotes");
    assert!(read(&Secret, &Raw::Number("1000".into())).is_err());
    assert!(read(&Address, &Raw::Number("8080".into())).is_err());
}

#[test]
fn a_token_is_never_shown() {
    for wrong in ["", "two words", "umläut", "line\nbreak"] {
        let error = of_text(&Secret, wrong).unwrap_err();
        assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
    }
    let token = of_text(&Secret, "hush-hush").unwrap();
    assert!(token.as_ref().is_some_and(|token| token.matches("hush-hush")));
    assert!(!Secret.show(&token).to_string().contains("hush"));
}

#[test]
fn lists_switches_choices_and_variables() {
    let list = List { metavar: "X", check: |text| Ok(text.to_uppercase()) };
    let two = Ok(vec!["A".to_owned(), "B".to_owned()]);
    assert_eq!(of_text(&list, "a, b"), two);
    assert_eq!(read(&list, &Raw::List(vec!["a".into(), "b".into()])), two);
    assert!(read(&list, &Raw::Boolean(true)).is_err());

    assert_eq!(of_text(&Switch, "true"), Ok(true));
    assert_eq!(read(&Switch, &Raw::Boolean(false)), Ok(false));
    for wrong in [text("yes"), text("1"), Raw::Number("1".into())] {
        assert!(read(&Switch, &wrong).is_err(), "{wrong:?}");
    }

    let choice = Choice { words: &["one", "two"], values: [1, 2] };
    assert_eq!(of_text(&choice, "two"), Ok(2));
    assert_eq!(of_text(&choice, "Two"), Err("\"Two\" is not one of \"one\", \"two\"".into()));
    assert_eq!(choice.show(&2), Value::String("two".into()));

    let word = Word { words: &["one", "two"] };
    assert_eq!(of_text(&word, "two"), Ok(Some("two")));
    assert_eq!(of_text(&word, "three"), Err("\"three\" is not one of \"one\", \"two\"".into()));
    assert_eq!(word.show(&Some("one")), Value::String("one".into()));

    let pairs = |name: &str, value: &str| Raw::Pairs(vec![(name.into(), value.into())]);
    assert!(read(&Variables, &pairs("PYTHON_x1", "a=b c")).is_ok());
    for (name, value) in [("", "x"), ("1A", "x"), ("A-B", "x"), ("A=B", "x"), ("A", "\0")] {
        assert!(read(&Variables, &pairs(name, value)).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_reads_as_the_same(number: u64, exponent in 0_u32..50, cores: u32) {
        for bytes in [number, number >> exponent << exponent, 1 << exponent] {
            prop_assert_eq!(read(&ANY_SIZE, &again(&ANY_SIZE.show(&bytes))), Ok(bytes));
        }
        let time = Duration::from_millis(number >> exponent);
        prop_assert_eq!(read(&ANY_TIME, &again(&ANY_TIME.show(&time))), Ok(time));
        prop_assert_eq!(read(&ANY_CPUS, &again(&ANY_CPUS.show(&cores))), Ok(cores));
    }

    #[test]
    fn no_text_makes_a_codec_panic(written in "\\PC{0,24}") {
        let _ = of_text(&ANY_SIZE, &written); // only that it returns
        let _ = of_text(&ANY_TIME, &written);
        let _ = of_text(&ANY_CPUS, &written);
        let _ = of_text(&ANY_COUNT, &written);
        let _ = of_text(&Address, &written);
        let _ = of_text(&Location { metavar: "" }, &written);
    }
}
