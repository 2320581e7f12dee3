//! What a person types and sees, held against transcripts. `TRYCMD=overwrite` writes them anew.

#[test]
fn transcripts() {
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-configuration");
    trycmd::TestCases::new().env("XDG_CONFIG_HOME", nowhere).env("COLUMNS", "100").case("tests/cmd/*.trycmd");
}
