//! Random stories, in virtual time, whose failures are kept.
//!
//! A story that fails is made as short as can be and its seed is written to the file named, which
//! belongs into the repository: every later run begins with the seeds in it. `PROPTEST_CASES` sets
//! another number of stories than the usual.

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

/// Tells `cases` stories of a strategy. `seeds`: where those that failed are kept, from the top of
/// the repository.
pub(crate) fn check<S, F>(
    seeds: &'static str,
    cases: u32,
    strategy: &S,
    tell: impl Fn(S::Value) -> F,
) where
    S: Strategy,
    S::Value: Debug,
    F: Future<Output = ()>,
{
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        max_shrink_iters: 4096,
        ..Config::default()
    };
    let told = TestRunner::new(config).run(strategy, |story| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(tell(story));
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}
