use super::{Answered, Served};

async fn put(endpoint: &Served, key: &str, condition: (&str, &str), body: &str) -> Answered {
    endpoint.send("bucket", &format!("PUT /b/{key}"), &[condition], body).await
}

#[tokio::test]
async fn an_object_is_created_once_and_changed_only_as_it_was_read() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    let missing = put(&endpoint, "a/key", ("if-match", "\"1\""), "0").await;
    assert_eq!(missing.status, 404);
    let created = put(&endpoint, "a/key", ("if-none-match", "*"), "1").await;
    assert_eq!(created.status, 200);
    assert_eq!(put(&endpoint, "a/key", ("if-none-match", "*"), "2").await.status, 412);
    let changed = put(&endpoint, "a/key", ("if-match", &created.headers["etag"]), "3").await;
    assert_eq!(changed.status, 200);
    assert_eq!(put(&endpoint, "a/key", ("if-match", &created.headers["etag"]), "4").await.status, 412);
    let got = endpoint.send("bucket", "GET /b/a/key", &[], "").await;
    assert_eq!((got.text().as_str(), &got.headers["etag"]), ("3", &changed.headers["etag"]));
    assert!(got.headers["last-modified"].ends_with(" GMT"), "{:?}", got.headers);
    assert_eq!(endpoint.send("bucket", "GET /b/a/other", &[], "").await.status, 404);
}

#[tokio::test]
async fn a_listing_has_keys_and_folders_page_by_page() {
    let endpoint = Served::with(&["--jobs", "0"]).await;
    for key in ["a/1", "a/2/x", "a/2/y", "a/3%3D%26", "b/1"] {
        put(&endpoint, key, ("x-any", "1"), "body").await;
    }
    let listed =
        endpoint.send("bucket", "GET /b?list-type=2&prefix=a%2F&delimiter=%2F", &[], "").await.text();
    assert_eq!(listed.matches("<Contents>").count(), 2, "{listed}");
    assert!(listed.contains("<Key>a/3=&amp;</Key>"), "{listed}");
    assert_eq!(listed.matches("<CommonPrefixes>").count(), 1);
    assert!(listed.contains("<Prefix>a/2/</Prefix>") && listed.contains("<IsTruncated>false"), "{listed}");

    for nth in 0..1_100 {
        put(&endpoint, &format!("many/{nth:04}/key"), ("x-any", "1"), "").await;
    }
    let many = "GET /b/?list-type=2&prefix=many/&delimiter=/";
    let first = endpoint.send("bucket", many, &[], "").await.text();
    assert_eq!(first.matches("<CommonPrefixes>").count(), 1_000);
    assert!(first.contains("<IsTruncated>true") && first.contains("<NextContinuationToken>many/0999/<"));
    let second =
        endpoint.send("bucket", &format!("{many}&continuation-token=many%2F0999%2F"), &[], "").await.text();
    assert_eq!(second.matches("<CommonPrefixes>").count(), 100);
    assert!(second.contains("<IsTruncated>false"));
}
