//! What kind of answer a client would rather have.

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Media {
    /// JSON, which every client gets that does not ask for a page.
    #[default]
    Json,
    /// A page.
    Html,
}

impl Media {
    /// What an `Accept` header prefers: a page only where it names one, and JSON no sooner.
    pub fn preferred(accept: &str) -> Self {
        let (mut html, mut json) = (0, 0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let quality = quality.map_or(1000, thousandths);
            if kind.eq_ignore_ascii_case("text/html") {
                html = quality;
            } else if kind.eq_ignore_ascii_case("application/json") {
                json = quality;
            }
        }
        if html > json { Self::Html } else { Self::Json }
    }
}

/// A quality from 0 to 1 with at most three decimals; what is none is as good as 0.
fn thousandths(quality: &str) -> u32 {
    match quality.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u32,
        Ok(_) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_whoever_asks_for_one() {
        for accept in [
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "TEXT/HTML; charset=utf-8",
            "application/json;q=0.5, text/html;q=0.6",
            "application/json;q=2, text/html;q=0.1",
        ] {
            assert_eq!(Media::preferred(accept), Media::Html, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/json, text/plain, */*",
            "text/*",
            "text/html;q=0",
            "text/html;q=x",
            "application/json, text/html",
            "text/html;q=0.5, application/json;q=0.9",
            ",;,;q=,=",
        ] {
            assert_eq!(Media::preferred(accept), Media::Json, "{accept}");
        }
    }
}
