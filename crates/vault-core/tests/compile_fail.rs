//! What must not happen does not compile: forging evidence, playing without it, copying or confusing keys.
//!
//! Each file under `compile_fail/` is a misuse; beside it lies what the compiler says. After a change of the compiler or of a
//! signature, look at each difference before `TRYBUILD=overwrite` takes it over: the error must still be about the misuse.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
