//! The floor under every client of AWS IoT: hyper, rustls and a signature, and nothing that decides, archives, paces
//! or looks twice. It deletes what the load endpoint has due, or serves as a function that cancels.

mod client;
mod function;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use clap::Parser;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::LocalSet;

use client::{Client, Error};

#[derive(Debug, Parser)]
struct Arguments {
    /// Serve as a function: CancelJobExecution once for each event.
    #[arg(long)]
    function: bool,
    /// The load endpoint, by https or http.
    #[arg(long, required_unless_present = "function")]
    endpoint: Option<String>,
    /// The authority that is trusted.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// How many calls are under way at once, each by a connection of its own.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How many executions are deleted.
    #[arg(long, default_value_t = 10_000)]
    calls: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    match arguments.endpoint {
        Some(ref endpoint) if !arguments.function => {
            let client = Rc::new(Client::new(endpoint, arguments.ca.as_deref())?);
            let told = LocalSet::new().run_until(delete(client, &arguments)).await?;
            println!("{told}");
            Ok(())
        }
        _ => function::serve().await,
    }
}

/// Deletes what is due, so many at once, and tells how long it took: the connections included, the listing not.
async fn delete(client: Rc<Client>, arguments: &Arguments) -> Result<Value, Error> {
    let due =
        client.connect().await?.send(&Method::GET, &format!("/_due?limit={}", arguments.calls), "").await?;
    let due: Vec<(String, String, i64)> = serde_json::from_slice(&due.body)?;
    let calls = due.len();
    let due = Rc::new(RefCell::new(due.into_iter()));
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let workers: Vec<_> = (0..arguments.in_flight)
        .map(|_| {
            let (client, due) = (Rc::clone(&client), Rc::clone(&due));
            tokio::task::spawn_local(async move {
                let mut connection = client.connect().await?;
                let mut refused = 0_u64;
                loop {
                    let next = due.borrow_mut().next();
                    let Some((job, thing, number)) = next else { return Ok::<_, Error>(refused) };
                    let path = format!("/things/{thing}/jobs/{job}/executionNumber/{number}");
                    let answer = connection.send(&Method::DELETE, &path, "").await?;
                    refused += u64::from(answer.status != 200);
                }
            })
        })
        .collect();
    let mut refused = 0;
    for worker in workers {
        refused += worker.await??;
    }
    Ok(json!({
        "seconds": begun.elapsed().as_secs_f64(),
        "calls": calls,
        "refused": refused,
        "cpuSeconds": cpu_seconds()? - cpu,
    }))
}

/// What the one thread of this process has had of the processor so far.
fn cpu_seconds() -> Result<f64, Error> {
    let told = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = told.split(' ').next().ok_or("the kernel does not tell")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
