//! Routes a call to the service that its path names.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::service::tonic_errors;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Other = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A main service, which answers almost all calls, and other services.
///
/// All of them must always be ready, like the services that tonic generates.
#[derive(Clone)]
pub struct Routes<S> {
    main: S,
    others: Arc<HashMap<&'static str, Other>>,
}

impl<S: NamedService> Routes<S> {
    /// Routes that have only this service.
    pub fn new(main: S) -> Self {
        Self { main, others: Arc::default() }
    }

    /// Adds a service. Of two with one name, the later one answers.
    #[must_use]
    pub fn with<T>(mut self, service: T) -> Self
    where
        T: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send + 'static,
    {
        let others = Arc::make_mut(&mut self.others);
        others.insert(T::NAME, BoxCloneSyncService::new(service));
        self
    }
}

impl<S> Service<Request<Body>> for Routes<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.main.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        let named = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let name = named.map_or("", |(service, _)| service);
        if name == S::NAME {
            return self.main.call(request);
        }
        if let Some(other) = self.others.get(name) {
            return other.clone().call(request);
        }
        let unknown = Status::from(tonic_errors::method_unknown(path));
        Box::pin(async move { Ok(unknown.into_http()) })
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::service_fn;

    use super::*;

    #[derive(Clone)]
    struct Named<const OTHER: bool>;

    impl<const OTHER: bool> NamedService for Named<OTHER> {
        const NAME: &'static str = if OTHER { "b.Other" } else { "a.Main" };
    }

    impl<const OTHER: bool> Service<Request<Body>> for Named<OTHER> {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Answer;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Answer {
            let mut own = service_fn(|_: ()| async {
                Ok(Response::builder().header("by", Self::NAME).body(Body::empty()).unwrap())
            });
            Box::pin(own.call(()))
        }
    }

    #[tokio::test]
    async fn a_call_goes_to_the_service_that_its_path_names() {
        let mut routes = Routes::new(Named::<false>).with(Named::<true>);
        for (path, by) in [
            ("/a.Main/X", Some("a.Main")),
            ("/b.Other/X", Some("b.Other")),
            ("/b.Other/", Some("b.Other")),
            ("/b.Other", None),
            ("/b.Othe/X", None),
            ("/b.Other2/X", None),
            ("//X", None),
            ("/", None),
        ] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = routes.call(request).await.unwrap();
            let answered = response.headers().get("by").map(|by| by.to_str().unwrap());
            assert_eq!(answered, by, "{path}");
            let status = Status::from_header_map(response.headers());
            let code = by.is_none().then_some(Code::Unimplemented);
            assert_eq!(status.map(|status| status.code()), code, "{path}");
        }
    }
}
