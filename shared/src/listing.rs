//! What a listing has shown, so that one that repeats itself comes to its end and counts nothing twice.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::execution::ExecutionRow;

/// The pages of one listing that have been gone through. Of each it keeps two numbers, and of the last one its rows:
/// of a million rows some 130 kB as JSON.
///
/// The numbers are those of this build's hasher. After another is deployed in the middle of a listing, what was shown
/// before is not known again: a listing that repeats itself is then followed once more, and no further.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PagesSeen {
    tokens: Vec<u64>,
    /// Of every page that had rows: a sum over them, whatever their order.
    pages: Vec<u64>,
    /// Sorted.
    last: Vec<u64>,
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextPage {
    /// The page with this token.
    At(String),
    /// Nothing: the listing is whole.
    End,
    /// Nothing new: the listing begins to repeat itself, and what it has not shown is not known.
    Repeated,
}

/// What is wrong with a listing that repeats itself, where it has to be whole.
pub const REPEATED: &str = "its listing repeats itself";

/// A number by which something is known again. 48 bits are few digits, and for ten million rows on forty thousand
/// pages two pages have the same number once in some 350,000 listings.
pub fn number_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish() >> 16
}

/// The number of a job's execution.
pub fn row_number(row: &ExecutionRow) -> u64 {
    number_of((row.thing_name.as_str(), row.execution_number.get(), row.queued_at.as_second()))
}

impl PagesSeen {
    /// Whether nothing of a listing has been gone through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a page has been shown before. The same page twice in a row may have been shifted by what came to the
    /// listing meanwhile; its rows stood on the page before, and a third time it has come to stay.
    pub fn repeats(&self, rows: &[u64]) -> bool {
        let sum = sum_of(rows);
        let Some((last, earlier)) = self.pages.split_last() else { return false };
        let came_twice = *last == sum && earlier.last() == Some(&sum);
        !rows.is_empty() && (came_twice || *last != sum && earlier.contains(&sum))
    }

    /// Whether a row stood on the page before: what came to the listing meanwhile has shifted it.
    pub fn stood_before(&self, row: u64) -> bool {
        self.last.binary_search(&row).is_ok()
    }

    /// A page has been gone through. Gives what follows it.
    pub fn turn(&mut self, mut rows: Vec<u64>, next_token: Option<String>) -> NextPage {
        if self.repeats(&rows) {
            return NextPage::Repeated;
        }
        if !rows.is_empty() {
            self.pages.push(sum_of(&rows));
        }
        rows.sort_unstable();
        self.last = rows;
        let Some(token) = next_token else { return NextPage::End };
        let number = number_of(&token);
        if self.tokens.contains(&number) {
            return NextPage::Repeated;
        }
        self.tokens.push(number);
        NextPage::At(token)
    }
}

fn sum_of(rows: &[u64]) -> u64 {
    rows.iter().fold(0, |sum: u64, row| sum.wrapping_add(*row)) & (u64::MAX >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows a listing whose page `n` has `pages[n]` and leads to the page `leads[n]`, and gives the rows that count
    /// and whether it was whole. `fresh`: no token comes twice.
    fn followed(pages: &[Vec<u64>], leads: &[Option<usize>], fresh: bool) -> (Vec<u64>, bool) {
        let (mut seen, mut counted, mut at) = (PagesSeen::default(), Vec::new(), 0);
        for nth in 0.. {
            assert!(nth <= 3 * pages.len(), "it is followed for ever");
            let rows = &pages[at];
            if seen.repeats(rows) {
                return (counted, false);
            }
            counted.extend(rows.iter().filter(|row| !seen.stood_before(**row)));
            let token = leads[at].map(|to| if fresh { format!("{to} {nth}") } else { to.to_string() });
            match seen.turn(rows.clone(), token) {
                NextPage::At(token) => at = token.split(' ').next().unwrap().parse().unwrap(),
                NextPage::End => return (counted, true),
                NextPage::Repeated => return (counted, false),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_listing_that_was_shifted_shows_its_rows_once() {
        let pages = [vec![1, 2, 3], vec![3, 4, 5], vec![5, 6]];
        let leads = [Some(1), Some(2), None];
        assert_eq!(followed(&pages, &leads, false), ((1..=6).collect(), true));
        assert_eq!(followed(&[vec![1], vec![1], vec![2]], &leads, true), (vec![1, 2], true));
    }

    #[test]
    fn empty_pages_repeat_nothing_but_their_tokens() {
        let pages = [vec![], vec![], vec![7]];
        assert_eq!(followed(&pages, &[Some(1), Some(2), None], false), (vec![7], true));
        assert_eq!(followed(&pages, &[Some(1), Some(0), None], false), (vec![], false));
    }

    #[test]
    fn it_does_not_grow_with_the_rows_of_a_page() {
        let mut seen = PagesSeen::default();
        for page in 0..4_000_u64 {
            let rows = (0..250).map(|row| number_of((page, row))).collect();
            assert_eq!(seen.turn(rows, Some(page.to_string())), NextPage::At(page.to_string()));
        }
        let size = serde_json::to_string(&seen).unwrap().len();
        assert!(size < 140_000, "{size}");
    }

    proptest! {
        /// Whatever page a page leads to, and whether tokens come again or only rows do.
        #[test]
        fn each_row_counts_at_most_once_and_every_listing_ends(
            leads in proptest::collection::vec(proptest::option::weighted(0.9, 0..12_usize), 1..12),
            size in 1..4_u64,
            fresh in any::<bool>(),
        ) {
            let leads: Vec<_> = leads.iter().map(|to| to.map(|to| to % leads.len())).collect();
            let pages: Vec<Vec<u64>> =
                (0..leads.len() as u64).map(|page| (0..size).map(|row| number_of((page, row))).collect()).collect();
            let (mut counted, _) = followed(&pages, &leads, fresh);
            let all = counted.len();
            counted.sort_unstable();
            counted.dedup();
            prop_assert_eq!(counted.len(), all);
        }

        #[test]
        fn a_listing_without_cycles_is_whole(sizes in proptest::collection::vec(0..4_u64, 1..12)) {
            let pages: Vec<Vec<u64>> = sizes
                .iter()
                .enumerate()
                .map(|(page, size)| (0..*size).map(|row| number_of((page, row))).collect())
                .collect();
            let last = pages.len() - 1;
            let leads: Vec<_> = (0..=last).map(|page| (page < last).then_some(page + 1)).collect();
            let (counted, whole) = followed(&pages, &leads, false);
            prop_assert!(whole);
            prop_assert_eq!(counted.len() as u64, sizes.iter().sum::<u64>());
        }
    }
}
