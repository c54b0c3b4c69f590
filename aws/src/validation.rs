//! The validators of AWS AppConfig: an access policy or retention rules that the functions would
//! refuse cannot be deployed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::document::Document;
use shared::ports::Cause;

/// What AppConfig sends before it deploys a version of a configuration profile.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Validation {
    application_id: String,
    configuration_profile_id: String,
    configuration_version: String,
    /// In base64.
    content: String,
}

/// Validates as strictly as the functions do when they start, and answers with the document's
/// digest, which their answers and audit lines have, too.
///
/// # Errors
/// When the document is not valid, with every problem; AppConfig then deploys nothing.
pub fn validate<D: Document>(event: Value) -> Result<Value, Cause> {
    let asked = serde_json::from_value::<Validation>(event);
    let asked = asked.map_err(|error| format!("the event is no validation of AWS AppConfig: {error}"))?;
    let Validation { application_id, configuration_profile_id, configuration_version, content } = asked;
    let source = format!("appconfig:{application_id}/{configuration_profile_id} {configuration_version}");
    let source = source.escape_debug().to_string();
    let content = STANDARD.decode(content).map_err(|error| format!("{source}: is no base64: {error}"))?;
    let text = String::from_utf8(content).map_err(|error| format!("{source}: is no UTF-8: {error}"))?;
    let checked = D::parse(&source, &text);
    tracing::info!(
        event = "document_validated",
        document = D::NAME,
        source,
        valid = checked.is_ok(),
        problems = checked.as_ref().err().map(ToString::to_string)
    );
    Ok(json!({ "document": D::NAME, "digest": checked?.digest() }))
}

#[cfg(test)]
mod tests {
    use shared::access::AccessPolicy;
    use shared::retention::Retention;

    use super::*;

    fn asked<D: Document>(content: &[u8]) -> Result<Value, String> {
        let event = json!({
            "applicationId": "abc1234",
            "configurationProfileId": "def5678",
            "configurationVersion": "2",
            "content": STANDARD.encode(content),
            "uri": "hosted",
        });
        validate::<D>(event).map_err(|error| error.to_string())
    }

    const POLICIES: &[u8] = include_bytes!("../../policies/access.cedar");
    const RULES: &[u8] = include_bytes!("../../policies/retention.toml");

    #[test]
    fn the_shipped_documents_are_valid_as_what_they_are_and_as_nothing_else() {
        let answer = asked::<AccessPolicy>(POLICIES).unwrap();
        assert_eq!(answer["digest"].as_str().unwrap().len(), 64);
        asked::<Retention>(RULES).unwrap();
        asked::<AccessPolicy>(RULES).unwrap_err();
        asked::<Retention>(POLICIES).unwrap_err();
    }

    #[test]
    fn what_is_wrong_is_told_with_version_and_line() {
        let text = String::from_utf8(POLICIES.to_vec()).unwrap().replace("context.force", "context.farce");
        let error = asked::<AccessPolicy>(text.as_bytes()).unwrap_err();
        assert!(error.starts_with("appconfig:abc1234/def5678 2:"), "{error}");
        assert!(error.contains("farce"), "{error}");
        let text = String::from_utf8(RULES.to_vec()).unwrap().replace("FAILED", "FALED");
        let error = asked::<Retention>(text.as_bytes()).unwrap_err();
        assert!(error.contains("FALED"), "{error}");
    }

    #[test]
    fn what_is_no_text_or_no_validation_is_an_error() {
        let error = asked::<AccessPolicy>(&[0xff]).unwrap_err();
        assert!(error.contains("is no UTF-8"), "{error}");
        let error = validate::<AccessPolicy>(json!({"content": ""})).unwrap_err().to_string();
        assert!(error.contains("no validation of AWS AppConfig: missing field `applicationId`"), "{error}");
    }

    /// Nothing permits anything, and no rule makes anything due: that is never meant.
    #[test]
    fn control_characters_in_the_names_of_an_event_are_escaped() {
        let event = json!({
            "applicationId": "abc\u{7f}1234",
            "configurationProfileId": "def5678\u{1b}[31m",
            "configurationVersion": "2\r\n",
            "content": "[]",
        });
        let error = validate::<AccessPolicy>(event).unwrap_err().to_string();
        assert!(
            error.starts_with(r"appconfig:abc\u{7f}1234/def5678\u{1b}[31m 2\r\n: is no base64"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_document_is_refused() {
        asked::<AccessPolicy>(b"").unwrap_err();
        asked::<AccessPolicy>(b"// nothing\n").unwrap_err();
        asked::<Retention>(b"").unwrap_err();
    }
}
