//! A path with the methods that it knows; any other is answered 405 with `Allow` (RFC 9110 section 15.5.6).

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};

use crate::error::ApiError;

/// A path under construction.
pub(super) struct KnownPath {
    resource: Resource,
    methods: Vec<Method>,
}

/// Begins a path.
pub(super) fn path(pattern: &str) -> KnownPath {
    KnownPath {
        resource: web::resource(pattern),
        methods: Vec::new(),
    }
}

impl KnownPath {
    /// Answers GET.
    pub(super) fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::GET, web::get().to(handler))
    }

    /// Answers HEAD as GET, for probes that ask so; the server leaves the body out. Only of what reads nothing large.
    pub(super) fn get_and_head<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args> + Clone,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::HEAD, web::head().to(handler.clone()))
            .get(handler)
    }

    /// Answers POST.
    pub(super) fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::POST, web::post().to(handler))
    }

    /// Answers PUT.
    pub(super) fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PUT, web::put().to(handler))
    }

    /// Answers PATCH.
    pub(super) fn patch<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::PATCH, web::patch().to(handler))
    }

    /// Answers DELETE.
    pub(super) fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::DELETE, web::delete().to(handler))
    }

    fn on(mut self, method: Method, route: Route) -> Self {
        self.methods.push(method);
        Self {
            resource: self.resource.route(route),
            ..self
        }
    }
}

impl HttpServiceFactory for KnownPath {
    fn register(self, config: &mut AppService) {
        let allowed = self
            .methods
            .iter()
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let refuse = move || {
            let answer = ApiError::MethodNotAllowed(allowed.clone()).answer();
            async move { answer }
        };
        self.resource
            .default_service(web::to(refuse))
            .register(config);
    }
}
