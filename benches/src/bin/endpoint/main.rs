//! The load endpoint: AWS IoT Jobs with a fleet of any size, the bucket, the queue and Lambda's Runtime API on
//! loopback, for benchmarks only. It answers as the fake of the acceptance tests does, whose state machine it has.

mod account;
mod bucket;
mod calls;
mod certificates;
mod control;
mod fleet;
mod iot;
mod limits;
mod options;
mod queue;
mod request;
mod runtime;
mod serve;
mod wire;

#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use account::Accounts;
use options::Options;
use runtime::Runtime;
use serve::serve;

/// Why it cannot serve.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Serves until its standard input is closed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where its authority and its certificate are written.
    #[arg(long, value_name = "DIR")]
    certificates: PathBuf,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let serves = start(arguments).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{serves}")?;
    out.flush()?;
    // Read by blocking: whoever started it keeps it open, or has died.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    // What is still connected is not waited for.
    std::process::exit(0)
}

/// Serves from now on, and tells where.
async fn start(Arguments { certificates, options }: Arguments) -> Result<Value, Error> {
    let (ca, tls) = certificates::make(&certificates)?;
    let accounts = Arc::new(Accounts::new(options));
    let runtime = Arc::new(Runtime::new(Arc::clone(&accounts)));
    let listeners =
        [listener().await?, listener().await?, listener().await?, listener().await?, listener().await?];
    let ports = listeners.each_ref().map(|listener| listener.local_addr().map(|address| address.port()));
    let [iot, plain, function, bucket, queue] = listeners;

    let of_iot = {
        let accounts = Arc::clone(&accounts);
        move |request| {
            let accounts = Arc::clone(&accounts);
            async move { control::answer(&accounts, request).await }
        }
    };
    tokio::spawn(serve(iot, Some(tls), of_iot.clone()));
    tokio::spawn(serve(plain, None, of_iot));
    tokio::spawn(serve(function, None, move |request| {
        let runtime = Arc::clone(&runtime);
        async move { runtime.answer(request).await }
    }));
    let of_bucket = Arc::clone(&accounts);
    tokio::spawn(serve(bucket, None, move |request| {
        let account = of_bucket.current();
        async move { account.bucket.answer(&request) }
    }));
    tokio::spawn(serve(queue, None, move |request| {
        let account = accounts.current();
        async move { account.queue.answer(&request) }
    }));

    let [iot, plain, function, bucket, queue] = ports;
    Ok(json!({
        "iot": format!("https://localhost:{}", iot?),
        "iotPlain": format!("http://127.0.0.1:{}", plain?),
        "runtime": format!("127.0.0.1:{}", function?),
        "bucket": format!("http://127.0.0.1:{}", bucket?),
        "sqs": format!("http://127.0.0.1:{}", queue?),
        "ca": ca,
    }))
}

async fn listener() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}
