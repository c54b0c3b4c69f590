//! The documents that an operator writes and the functions work by, and which edition of each is
//! in force.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::access::AccessPolicy;
use crate::meter;
use crate::ports::{Cause, chain};
use crate::retention::Retention;
use crate::source_text::Problems;

/// How often a newer edition is looked for, while there is work to do. With the time that a
/// deployment takes, this is how long a change takes to come into force.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// From when on it is an alarm that nothing could be looked for.
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
pub struct Current<D> {
    editions: Option<Box<dyn Editions>>,
    kept: Mutex<Kept<D>>,
}

#[derive(Debug)]
struct Kept<D> {
    document: Arc<D>,
    next_look: Instant,
    last_seen: Instant,
}

impl<D: Document> Current<D> {
    /// A document that stays as it is.
    pub fn fixed(document: D) -> Self {
        Self { editions: None, kept: Mutex::new(Kept::of(document)) }
    }

    /// The first edition, which has to be there and valid: without it nothing is served.
    ///
    /// # Errors
    /// When it cannot be had, or is not valid.
    pub async fn open(editions: impl Editions + 'static) -> Result<Self, Cause> {
        let first = editions.newer().await.map_err(|error| unavailable::<D>(&*error))?;
        let first = first.ok_or_else(|| unavailable::<D>(&*Cause::from("there is no edition")))?;
        let document = D::parse(&first.source, &first.text)?;
        info!(event = "document_in_force", document = D::NAME, source = first.source);
        Ok(Self { editions: Some(Box::new(editions)), kept: Mutex::new(Kept::of(document)) })
    }

    /// The edition in force, after a look for a newer one where it is time for that.
    pub async fn get(&self) -> Arc<D> {
        if let Some(editions) = self.editions.as_deref().filter(|_| self.kept().is_time_to_look()) {
            self.take_over(editions.newer().await);
        }
        let kept = self.kept();
        if self.editions.is_some() {
            meter::document(D::NAME, kept.last_seen.elapsed());
        }
        Arc::clone(&kept.document)
    }

    fn take_over(&self, found: Result<Option<Edition>, Cause>) {
        let mut kept = self.kept();
        match found {
            Ok(None) => kept.last_seen = Instant::now(),
            Ok(Some(edition)) => {
                kept.last_seen = Instant::now();
                match D::parse(&edition.source, &edition.text) {
                    Ok(document) => {
                        kept.document = Arc::new(document);
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
            Err(error) if kept.last_seen.elapsed() < STALE_AFTER => {
                warn!(event = "document_unavailable", document = D::NAME, error = chain(&*error));
            }
            Err(error) => error!(
                event = "document_stale",
                document = D::NAME,
                error = chain(&*error),
                since_seconds = kept.last_seen.elapsed().as_secs(),
                "no newer edition can be looked for; the last one stays in force"
            ),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<D>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Kept<D> {
    fn of(document: D) -> Self {
        let now = Instant::now();
        Self { document: Arc::new(document), next_look: now + LOOK_EVERY, last_seen: now }
    }

    /// Whether to look, and if so the next time is set: a look that fails is not repeated at once.
    fn is_time_to_look(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next_look;
        if due {
            self.next_look = now + LOOK_EVERY;
        }
        due
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

    async fn opened() -> (Arc<Found>, Current<Retention>) {
        let found = Arc::new(Found::default());
        found.then(edition("one", 1));
        let current = Current::open(Arc::clone(&found)).await.unwrap();
        (found, current)
    }

    async fn in_force(current: &Current<Retention>) -> (String, u64) {
        let rules = current.get().await;
        (rules.source().to_owned(), rules.breaker().max_actions.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_edition_comes_into_force_within_half_a_minute() {
        let (found, current) = opened().await;
        found.then(edition("two", 2));
        tokio::time::advance(LOOK_EVERY - Duration::from_millis(1)).await;
        assert_eq!(in_force(&current).await, ("one".to_owned(), 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(in_force(&current).await, ("two".to_owned(), 2));
        // And is not looked for again at once.
        assert_eq!(in_force(&current).await, ("two".to_owned(), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_edition_stays_in_force() {
        let (found, current) = opened().await;
        let bad: [Result<Option<Edition>, Cause>; 4] =
            [edition("zero", 0), Err("no network".into()), Ok(None), edition("also bad", 0)];
        for bad in bad {
            found.then(bad);
            tokio::time::advance(LOOK_EVERY).await;
            assert_eq!(in_force(&current).await, ("one".to_owned(), 1));
            assert!(found.is_used_up());
        }
        found.then(edition("three", 3));
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(in_force(&current).await, ("three".to_owned(), 3));
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
            let error = Current::<Retention>::open(found).await.unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_document_is_never_looked_for() {
        let current = Current::fixed(Retention::shipped().unwrap());
        tokio::time::advance(Duration::from_hours(24)).await;
        assert_eq!(current.get().await.source(), "policies/retention.toml");
    }
}
