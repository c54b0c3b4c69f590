//! The documents that an operator writes and the functions work by, and which edition of each is
//! in force.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::{error, info, warn};

use crate::access::AccessPolicy;
use crate::age::Moment;
use crate::meter;
use crate::ports::{Cause, chain};
use crate::retention::Retention;
use crate::source_text::Problems;

/// How often a newer edition is looked for, while there is work to do. With the time that a
/// deployment takes, this is how long a change takes to come into force.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How soon after a look that failed the next one may follow: a change that an operator waits for comes into
/// force when AppConfig answers again, and AppConfig is not asked for each call.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long looks have failed, from the first of several in a row, when it is an alarm.
pub const STALE_AFTER: Duration = Duration::from_mins(15);

/// Something that an operator writes and the functions work by.
pub trait Document: Sized + Debug + Send + Sync {
    /// What it is, in words.
    const NAME: &'static str;

    /// The one compiled in.
    ///
    /// # Errors
    /// As [`Document::parse`]; a test holds that the shipped files have no problem.
    fn shipped() -> Result<Self, Problems>;

    /// Parses and validates a text. `source` says where it is from, and which edition it is.
    ///
    /// # Errors
    /// Every problem found.
    fn parse(source: &str, text: &str) -> Result<Self, Problems>;

    /// What tells one from another.
    fn digest(&self) -> &str;
}

impl Document for AccessPolicy {
    const NAME: &'static str = "access policy";

    fn shipped() -> Result<Self, Problems> {
        Self::shipped()
    }

    fn parse(source: &str, text: &str) -> Result<Self, Problems> {
        Self::parse(source, text)
    }

    fn digest(&self) -> &str {
        self.digest()
    }
}

impl Document for Retention {
    const NAME: &'static str = "retention rules";

    fn shipped() -> Result<Self, Problems> {
        Self::shipped()
    }

    fn parse(source: &str, text: &str) -> Result<Self, Problems> {
        Self::parse(source, text)
    }

    fn digest(&self) -> &str {
        self.digest()
    }
}

/// One edition of a document, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// Where it is from, and which one it is.
    pub source: String,
    /// The text.
    pub text: String,
}

/// Where editions come from.
pub trait Editions: Debug + Send + Sync {
    /// The edition that is meant to be in force; `None` when it is the one that was given last.
    fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>>;
}

/// The edition in force. What it is has been valid when it was taken over, and it stays in force
/// until a newer valid one is there: nothing else ever takes its place.
#[derive(Debug)]
pub struct Current<D>(Kind<D>);

#[derive(Debug)]
enum Kind<D> {
    Fixed(Arc<D>),
    Followed { editions: Box<dyn Editions>, kept: Mutex<Kept<D>> },
}

#[derive(Debug)]
struct Kept<D> {
    document: Arc<D>,
    /// When the last look began, whatever came of it.
    looked: Moment,
    /// When a look told last which edition is the newest.
    seen: Moment,
    /// The looks that failed since.
    failed: Option<FailedLooks>,
}

/// Looks that failed one after the other.
#[derive(Debug, Clone, Copy)]
struct FailedLooks {
    first: Moment,
    count: u32,
}

impl<D: Document> Current<D> {
    /// A document that stays as it is.
    pub fn fixed(document: D) -> Self {
        Self(Kind::Fixed(Arc::new(document)))
    }

    /// The first edition, which has to be there and valid: without it nothing is served.
    ///
    /// # Errors
    /// When it cannot be had, or is not valid.
    pub async fn open(editions: impl Editions + 'static, now: Timestamp) -> Result<Self, Cause> {
        let now = Moment::at(now);
        let first = editions.newer().await.map_err(|error| unavailable::<D>(&*error))?;
        let first = first.ok_or_else(|| unavailable::<D>(&*Cause::from("there is no edition")))?;
        let document = Arc::new(D::parse(&first.source, &first.text)?);
        info!(event = "document_in_force", document = D::NAME, source = first.source);
        let kept = Mutex::new(Kept { document, looked: now, seen: now, failed: None });
        Ok(Self(Kind::Followed { editions: Box::new(editions), kept }))
    }

    /// The edition in force, after a look for a newer one where the last look is too long ago.
    pub async fn get(&self, now: Timestamp) -> Arc<D> {
        let (editions, kept) = match &self.0 {
            Kind::Fixed(document) => return Arc::clone(document),
            Kind::Followed { editions, kept } => (editions, kept),
        };
        let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Moment::at(now);
        let due = kept().begin_look(began);
        if due {
            let found = editions.newer().await;
            kept().take_over(found, began);
        }
        let kept = kept();
        meter::document(D::NAME, kept.seen.age(Moment::at(now)));
        Arc::clone(&kept.document)
    }
}

impl<D: Document> Kept<D> {
    /// Whether to look, and if so the look is noted: one that fails is not repeated at once.
    fn begin_look(&mut self, now: Moment) -> bool {
        let every = if self.failed.is_some() { LOOK_AGAIN_AFTER } else { LOOK_EVERY };
        let due = self.looked.is_past(every, now);
        if due {
            self.looked = now;
        }
        due
    }

    fn take_over(&mut self, found: Result<Option<Edition>, Cause>, began: Moment) {
        match found {
            Ok(edition) => {
                self.seen = began;
                self.failed = None;
                if let Some(edition) = edition {
                    self.replace(&edition);
                }
            }
            Err(error) => self.go_on(&*error, began),
        }
    }

    fn replace(&mut self, edition: &Edition) {
        match D::parse(&edition.source, &edition.text) {
            Ok(document) => {
                self.document = Arc::new(document);
                info!(event = "document_in_force", document = D::NAME, source = edition.source);
            }
            Err(problems) => error!(
                event = "document_rejected",
                document = D::NAME,
                source = edition.source,
                error = %problems,
                "the edition before it stays in force"
            ),
        }
    }

    fn go_on(&mut self, error: &(dyn std::error::Error + 'static), began: Moment) {
        let failed = self.failed.get_or_insert(FailedLooks { first: began, count: 0 });
        failed.count = failed.count.saturating_add(1);
        let failing = failed.first.age(began);
        // A single look that fails says nothing of the time before it, in which the process may have been frozen.
        if failed.count > 1 && failing >= STALE_AFTER {
            error!(
                event = "document_stale",
                document = D::NAME,
                error = chain(error),
                failing_seconds = failing.as_secs(),
                since_seconds = self.seen.age(began).as_secs(),
                "no newer edition can be looked for; the last one stays in force"
            );
        } else {
            warn!(event = "document_unavailable", document = D::NAME, error = chain(error));
        }
    }
}

fn unavailable<D: Document>(error: &(dyn std::error::Error + 'static)) -> Cause {
    format!("the {} cannot be had: {}", D::NAME, chain(error)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What is found, look for look; nothing more after that.
    #[derive(Debug, Default)]
    struct Found(Mutex<VecDeque<Result<Option<Edition>, Cause>>>);

    impl Editions for std::sync::Arc<Found> {
        fn newer(&self) -> BoxFuture<'_, Result<Option<Edition>, Cause>> {
            let next = self.0.lock().unwrap().pop_front().unwrap_or_else(|| panic!("looked too often"));
            Box::pin(async { next })
        }
    }

    impl Found {
        fn then(&self, found: Result<Option<Edition>, Cause>) {
            self.0.lock().unwrap().push_back(found);
        }

        fn is_used_up(&self) -> bool {
            self.0.lock().unwrap().is_empty()
        }
    }

    fn edition(name: &str, max_actions: u64) -> Result<Option<Edition>, Cause> {
        let shipped = include_str!("../../policies/retention.toml");
        let text = shipped.replace("max_actions = 10000", &format!("max_actions = {max_actions}"));
        Ok(Some(Edition { source: name.to_owned(), text }))
    }

    /// The rules, and both clocks: `sleep` moves both, `freeze` and `set_back` the wall clock alone.
    struct Scene {
        found: Arc<Found>,
        rules: Current<Retention>,
        wall: Timestamp,
    }

    impl Scene {
        async fn open() -> Self {
            let found = Arc::new(Found::default());
            found.then(edition("one", 1));
            let wall = "2026-11-21T02:00:00Z".parse().unwrap();
            let rules = Current::open(Arc::clone(&found), wall).await.unwrap();
            Self { found, rules, wall }
        }

        async fn sleep(&mut self, time: Duration) {
            tokio::time::advance(time).await;
            self.freeze(time);
        }

        fn freeze(&mut self, time: Duration) {
            self.wall += time;
        }

        fn set_back(&mut self, time: Duration) {
            self.wall -= time;
        }

        async fn in_force(&self) -> String {
            let rules = self.rules.get(self.wall).await;
            let edition = rules.source().to_owned();
            let number = ["zero", "one", "two", "three"].iter().position(|name| *name == edition);
            assert_eq!(number, Some(rules.breaker().max_actions.get() as usize));
            edition
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_edition_comes_into_force_within_half_a_minute() {
        let mut scene = Scene::open().await;
        scene.found.then(edition("two", 2));
        scene.sleep(LOOK_EVERY - Duration::from_millis(1)).await;
        assert_eq!(scene.in_force().await, "one");
        scene.sleep(Duration::from_millis(1)).await;
        assert_eq!(scene.in_force().await, "two");
        // And is not looked for again at once.
        assert_eq!(scene.in_force().await, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_freeze_the_next_decision_is_by_the_newer_edition() {
        let mut scene = Scene::open().await;
        scene.freeze(Duration::from_mins(15));
        scene.found.then(edition("two", 2));
        assert_eq!(scene.in_force().await, "two");
        scene.freeze(LOOK_EVERY - Duration::from_millis(1));
        assert_eq!(scene.in_force().await, "two");
        scene.freeze(Duration::from_millis(1));
        scene.found.then(edition("three", 3));
        assert_eq!(scene.in_force().await, "three");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_back_holds_no_look_up() {
        let mut scene = Scene::open().await;
        scene.set_back(Duration::from_hours(1));
        scene.found.then(edition("two", 2));
        assert_eq!(scene.in_force().await, "two");
        // One look for each time that it is set back, and then as always.
        assert_eq!(scene.in_force().await, "two");
        scene.freeze(LOOK_EVERY);
        scene.found.then(edition("three", 3));
        assert_eq!(scene.in_force().await, "three");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_fails_after_a_freeze_is_repeated_by_the_first_call_five_seconds_later() {
        let mut scene = Scene::open().await;
        scene.freeze(Duration::from_mins(15));
        scene.found.then(Err("no network".into()));
        assert_eq!(scene.in_force().await, "one");
        scene.sleep(LOOK_AGAIN_AFTER - Duration::from_millis(1)).await;
        assert_eq!(scene.in_force().await, "one");
        scene.sleep(Duration::from_millis(1)).await;
        scene.found.then(edition("two", 2));
        assert_eq!(scene.in_force().await, "two");
        // Once a look has gone well, the next one follows half a minute later.
        scene.sleep(LOOK_EVERY - Duration::from_millis(1)).await;
        assert_eq!(scene.in_force().await, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_edition_stays_in_force() {
        let mut scene = Scene::open().await;
        let bad: [Result<Option<Edition>, Cause>; 4] =
            [edition("zero", 0), Err("no network".into()), Ok(None), edition("also bad", 0)];
        for bad in bad {
            scene.found.then(bad);
            scene.sleep(LOOK_EVERY).await;
            assert_eq!(scene.in_force().await, "one");
            assert!(scene.found.is_used_up());
        }
        scene.found.then(edition("three", 3));
        scene.sleep(LOOK_EVERY).await;
        assert_eq!(scene.in_force().await, "three");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_first_valid_edition_nothing_is_served() {
        let nothing: [(Result<Option<Edition>, Cause>, &str); 3] = [
            (Ok(None), "the retention rules cannot be had: there is no edition"),
            (Err("no network".into()), "the retention rules cannot be had: no network"),
            (edition("zero", 0), "zero:"),
        ];
        for (first, told) in nothing {
            let found = Arc::new(Found::default());
            found.then(first);
            let opened = Current::<Retention>::open(found, Timestamp::UNIX_EPOCH).await;
            let error = opened.unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_document_is_never_looked_for() {
        let current = Current::fixed(Retention::shipped().unwrap());
        tokio::time::advance(Duration::from_hours(24)).await;
        assert_eq!(current.get(Timestamp::MAX).await.source(), "policies/retention.toml");
    }
}
