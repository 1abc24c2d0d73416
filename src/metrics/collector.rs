//! An OpenTelemetry collector: where it is, and one push to it.

use std::path::PathBuf;
use std::time::Duration;

/// Longest wait after failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Where things are pushed to. Its headers are secrets and not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Collector {
    /// Its URL without a path; `None` pushes nothing.
    pub endpoint: Option<String>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// A file with more, one `name: value` per line, read at every push.
    pub headers_file: Option<PathBuf>,
    /// Between two pushes of metrics; zero pushes none.
    pub interval: Duration,
    /// For one push.
    pub timeout: Duration,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Collector {
    /// Pushes one request; blocks until it is taken, refused or late.
    pub fn push(&self, path: &str, request: &[u8]) -> Result<(), String> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .max_redirects(0)
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut post = agent
            .post(format!("{endpoint}{path}"))
            .header("content-type", "application/x-protobuf");
        for (name, value) in self.all_headers()? {
            post = post.header(name, value);
        }
        let answer = post.send(request).map_err(|error| error.to_string())?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("it answers {}", answer.status()))
    }

    fn all_headers(&self) -> Result<Vec<(String, String)>, String> {
        let mut headers = self.headers.clone();
        if let Some(file) = &self.headers_file {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let pairs = text.lines().filter_map(|line| line.split_once(':'));
            headers.extend(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
        }
        Ok(headers)
    }
}

/// How pushes went of late: when to try again, and what is worth a line in the log.
#[derive(Debug, Default)]
pub struct Course {
    failures: u32,
    trouble: Option<String>,
}

impl Course {
    /// Notes how a push went; a line for the log when that is news.
    pub fn note(&mut self, outcome: &Result<(), String>) -> Option<String> {
        match outcome {
            Ok(()) => {
                self.failures = 0;
                self.trouble
                    .take()
                    .map(|_| "the collector takes pushes again".to_owned())
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let is_news = self.trouble.is_none();
                self.trouble = Some(error.clone());
                is_news.then(|| format!("the collector takes no pushes: {error}"))
            }
        }
    }

    /// How long to wait, when it would be `usual` were all well.
    pub fn pause(&self, usual: Duration) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures.min(10));
        usual.saturating_mul(factor).min(LONGEST_PAUSE.max(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_once_and_tried_ever_less_often() {
        let mut course = Course::default();
        let second = Duration::from_secs(1);
        assert_eq!(course.note(&Ok(())), None);
        assert!(course.note(&Err("refused".to_owned())).is_some());
        assert_eq!(course.note(&Err("late".to_owned())), None);
        assert_eq!(course.pause(second), 4 * second);
        for _ in 0..50 {
            assert_eq!(course.note(&Err("late".to_owned())), None);
        }
        assert_eq!(course.pause(second), LONGEST_PAUSE);
        assert!(course.note(&Ok(())).is_some());
        assert_eq!(course.pause(second), second);
    }

    #[test]
    fn headers_come_from_the_settings_and_from_a_file_and_are_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "authorization: Bearer x:y\nnothing\n").unwrap();
        let collector = Collector {
            headers: vec![("a".to_owned(), "b".to_owned())],
            headers_file: Some(file.path().to_owned()),
            ..Collector::default()
        };
        let headers = collector.all_headers().unwrap();
        assert_eq!(headers[1], ("authorization".to_owned(), "Bearer x:y".to_owned()));
        assert!(!format!("{collector:?}").contains('b') || !format!("{collector:?}").contains("Bearer"));
    }
}
