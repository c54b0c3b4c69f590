//! The parts of a policy's text: its scope, and its conditions taken apart where each refuses alone.

use super::limits::{Lexeme, lexemes};

/// What a permit consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'t> {
    /// The effect with the scope, without annotations.
    pub(super) scope: &'t str,
    /// The conditions in the order of evaluation; what stood under `unless` is negated.
    pub(super) conjuncts: Vec<String>,
}

impl<'t> Parts<'t> {
    /// The parts of one policy that Cedar has parsed.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let lexemes: Vec<_> = lexemes(text).collect();
        let after_at =
            |place: usize| place.checked_sub(1).and_then(|before| lexemes.get(before)).map(|l| l.text);
        let effect = (0..lexemes.len()).find(|place| {
            lexemes.get(*place).is_some_and(|lexeme| lexeme.text == "permit") && after_at(*place) != Some("@")
        })?;
        let scope_end = closing(&lexemes, effect + 1)?;
        let scope = text.get(lexemes.get(effect)?.start..lexemes.get(scope_end)?.end())?;
        let mut conjuncts = Vec::new();
        let mut at = scope_end + 1;
        while let Some(clause) = lexemes.get(at).filter(|lexeme| lexeme.text != ";") {
            let end = closing(&lexemes, at + 1)?;
            let body = lexemes.get(at + 2..end)?;
            match clause.text {
                "when" => conjuncts
                    .extend(split(body, "&&").iter().map(|part| Some(source(text, part)?.to_owned()))),
                // Not (a or b) is not a and not b; nothing else of a negation comes apart.
                "unless" => {
                    conjuncts.extend(
                        split(body, "||").iter().map(|part| Some(format!("!({}\n)", source(text, part)?))),
                    );
                }
                _ => return None,
            }
            at = end + 1;
        }
        Some(Self { scope, conjuncts: conjuncts.into_iter().collect::<Option<_>>()? })
    }
}

fn source<'t>(text: &'t str, part: &[Lexeme<'_>]) -> Option<&'t str> {
    text.get(part.first()?.start..part.last()?.end())
}

/// Where the bracket closes that opens here.
fn closing(lexemes: &[Lexeme<'_>], opens: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, lexeme) in lexemes.iter().enumerate().skip(opens) {
        depth = match lexeme.text {
            "(" | "[" | "{" => depth + 1,
            ")" | "]" | "}" => depth.checked_sub(1)?,
            _ => depth,
        };
        if depth == 0 {
            return (place > opens).then_some(place);
        }
    }
    None
}

/// The operands of an operator that stands topmost, in the order of evaluation. Parentheses are no border. Their
/// depth is limited, so that this may follow them.
fn split<'s, 't>(expression: &'s [Lexeme<'t>], operator: &str) -> Vec<&'s [Lexeme<'t>]> {
    let last = expression.len().saturating_sub(1);
    let opens = |place: usize| expression.get(place).is_some_and(|lexeme| lexeme.text == "(");
    if opens(0) && closing(expression, 0) == Some(last) {
        let within = expression.get(1..last).unwrap_or_default();
        let parts = split(within, operator);
        return if parts.len() > 1 { parts } else { vec![expression] };
    }
    let mut depth = 0_usize;
    let (mut borders, mut loosest) = (Vec::new(), true);
    for (place, lexeme) in expression.iter().enumerate() {
        match lexeme.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            // An `if` reaches to the end, and `||` binds less than `&&`.
            "if" if place == 0 => loosest = false,
            "||" if depth == 0 && operator == "&&" => loosest = false,
            other if depth == 0 && other == operator => borders.push(place),
            _ => {}
        }
    }
    if !loosest || borders.is_empty() {
        return vec![expression];
    }
    let mut parts = Vec::new();
    let mut from = 0;
    for border in borders.into_iter().chain([expression.len()]) {
        parts.extend(split(expression.get(from..border).unwrap_or_default(), operator));
        from = border + 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(clauses: &str, expected: &[&str]) {
        let text = format!("@permit(\"(\") @id(\"p\") permit (principal, action, resource) {clauses};");
        let parts = Parts::of(&text).unwrap();
        assert_eq!(parts.scope, "permit (principal, action, resource)", "{clauses}");
        assert_eq!(parts.conjuncts, expected, "{clauses}");
    }

    #[test]
    fn conditions_come_apart_where_each_refuses_alone() {
        check("", &[]);
        check("when { a && b } when { c }", &["a", "b", "c"]);
        check("when { (a && (b && c)) && [d && e].contains(f) }", &["a", "b", "c", "[d && e].contains(f)"]);
        check("when { a || b && c }", &["a || b && c"]);
        check("when { if a then b else c && d }", &["if a then b else c && d"]);
        check("when { (a) && (b || c) && !(d && e) }", &["(a)", "(b || c)", "!(d && e)"]);
        check("when { (a && b).c == d && (e).f }", &["(a && b).c == d", "(e).f"]);
        check("unless { a || (b || c) && d }", &["!(a\n)", "!((b || c) && d\n)"]);
        check("unless { (a || b) || if c then d else e }", &["!(a\n)", "!(b\n)", "!(if c then d else e\n)"]);
        check("unless { a && b }", &["!(a && b\n)"]);
        check("when { a // b && c\n && d == \"} && e\" }", &["a", "d == \"} && e\""]);
    }
}
