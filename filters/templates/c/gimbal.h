/* What a filter in C can ask of Gimbal, and what Gimbal asks of it; the comments in wit/ say more about each.
 *
 * A filter is three things: `gimbal_init`, which reads the configuration and says what the filter wants to see; a function for
 * each hook; and GIMBAL_REQUESTS, GIMBAL_RESPONSES for those it has. There is no C library: texts are pointer and length.
 * What a call is given or makes lives until the call ends; what `gimbal_init` is given or makes lives as long as the filter.
 */
#ifndef GIMBAL_H
#define GIMBAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text or bytes, without a zero at the end. One that is not there has no pointer. */
typedef struct {
    const char *at;
    size_t length;
} text;

/* The text of a literal. */
#define T(literal) ((text){(literal), sizeof(literal) - 1})

/* Request and response codes. */
enum {
    SEND_MESSAGE = 10,
    PULL_MESSAGE = 11,
    HEART_BEAT = 34,
    CONSUMER_SEND_MSG_BACK = 36,
    END_TRANSACTION = 37,
    GET_ROUTEINFO_BY_TOPIC = 105,
    SEND_MESSAGE_V2 = 310,
    SEND_BATCH_MESSAGE = 320,
    SEND_REPLY_MESSAGE = 324,
    SEND_REPLY_MESSAGE_V2 = 325,
    LITE_PULL_MESSAGE = 361,
    POP_MESSAGE = 200050,

    SUCCESS = 0,
    SYSTEM_ERROR = 1,
    MESSAGE_ILLEGAL = 13,
    NO_PERMISSION = 16,
    TOPIC_NOT_EXIST = 17,
    FLOW_CONTROL = 215,
};

/* ---- what the filter says ---------------------------------------------------------------------------------------- */

/* What a filter decides; made by the functions below. */
typedef struct {
    uint8_t kind;
    int32_t number;
    text words;
} verdict;

static inline verdict forward(void) { return (verdict){.kind = 0}; }
/* The response with this code and remark, in place of the broker's. Not for one-way commands. */
static inline verdict answer(int32_t code, text remark) { return (verdict){1, code, remark}; }
/* Holds the command for so many milliseconds. */
static inline verdict delay(uint32_t milliseconds) { return (verdict){2, (int32_t)milliseconds, {0}}; }
/* Forgets a one-way command. */
static inline verdict drop(void) { return (verdict){.kind = 3}; }
/* Closes the client's connection; the text goes to the log. */
static inline verdict close_connection(text why) { return (verdict){4, 0, why}; }

/* Wants requests with this code; all that clients send with code 0. Of `gimbal_init` alone, as are the next three. */
void want_requests(int32_t code);
/* Wants responses to requests with this code. */
void want_responses(int32_t code);
/* Wants every kind of send. */
void want_sends(void);
/* Of all that was wanted: only about topics that this pattern fits (`*` any text, `?` one character), or one of several. */
void want_topic(text pattern);
/* Of all that was wanted: bodies and messages are read or changed. */
void want_body(void);

/* Written by the filter: reads the configuration, a JSON text, and says what it wants. It returns a text without a pointer,
 * or else what is wrong with the configuration, for the operator to read. */
text gimbal_init(text config);

/* What a configuration has under this key; `otherwise` where it has nothing of that kind there. Top-level keys alone. */
text config_text(text config, text key, text otherwise);
double config_number(text config, text key, double otherwise);
bool config_bool(text config, text key, bool otherwise);
/* The number of elements of a list of texts, and one of them. */
size_t config_count(text config, text key);
text config_at(text config, text key, size_t index);

/* The hooks that a filter has; after them, in one file. */
#define GIMBAL_EXPORT(name) __attribute__((export_name(name)))
#define GIMBAL_REQUESTS(function)                                                                                        \
    GIMBAL_EXPORT("gimbal:filter/requests@0.1.0#on-request") void *gimbal_on_request(int32_t code) {                    \
        gimbal_rewind();                                                                                                 \
        return gimbal_lower(function(code));                                                                             \
    }                                                                                                                    \
    struct gimbal_semicolon
#define GIMBAL_RESPONSES(function)                                                                                       \
    GIMBAL_EXPORT("gimbal:filter/responses@0.1.0#on-response")                                                          \
    void *gimbal_on_response(int32_t request_code, int32_t response_code) {                                             \
        gimbal_rewind();                                                                                                 \
        return gimbal_lower(function(request_code, response_code));                                                      \
    }                                                                                                                    \
    struct gimbal_semicolon

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static inline bool is_there(text t) { return t.at != NULL; }
bool equals(text a, text b);
bool starts_with(text t, text prefix);
/* Whether a pattern fits: `*` is any text, `?` one character. */
bool fits(text pattern, text t);
/* Both, one after the other. */
text joined(text a, text b);
/* The number in decimal. */
text decimal(int64_t number);

/* ---- what the filter asks ------------------------------------------------------------------------------------------ */

#define GIMBAL_IMPORT(interface, name)                                                                                   \
    __attribute__((import_module("gimbal:filter/" interface "@0.1.0"), import_name(name)))

/* How results come: the canonical ABI of the component model. */
typedef struct {
    uint8_t tag;
    text value;
} gimbal_optional;
typedef struct {
    uint8_t tag;
    union {
        uint32_t number;
        text value;
    };
} gimbal_result;

void gimbal_rewind(void);
void *gimbal_lower(verdict v);

/* Commands. */
GIMBAL_IMPORT("command", "code") int32_t command_code(void);
GIMBAL_IMPORT("command", "request-code") int32_t command_request_code(void);
GIMBAL_IMPORT("command", "is-oneway") bool command_is_oneway(void);
GIMBAL_IMPORT("command", "is-from-broker") bool command_is_from_broker(void);
GIMBAL_IMPORT("command", "version") int32_t command_version(void);
GIMBAL_IMPORT("command", "max-delay") uint32_t command_max_delay(void);
GIMBAL_IMPORT("command", "signed") bool command_signed(void);
GIMBAL_IMPORT("command", "body-size") uint32_t command_body_size(void);
GIMBAL_IMPORT("command", "topic") void gimbal_command_topic(gimbal_optional *);
GIMBAL_IMPORT("command", "group") void gimbal_command_group(gimbal_optional *);
GIMBAL_IMPORT("command", "broker") void gimbal_command_broker(gimbal_optional *);
GIMBAL_IMPORT("command", "remark") void gimbal_command_remark(gimbal_optional *);
GIMBAL_IMPORT("command", "language") void gimbal_command_language(text *);
GIMBAL_IMPORT("command", "field") void gimbal_command_field(const char *, size_t, gimbal_optional *);
GIMBAL_IMPORT("command", "set-field") void gimbal_command_set_field(const char *, size_t, const char *, size_t);
GIMBAL_IMPORT("command", "remove-field") bool gimbal_command_remove_field(const char *, size_t);
GIMBAL_IMPORT("command", "body") void gimbal_command_body(text *);
GIMBAL_IMPORT("command", "set-body") void gimbal_command_set_body(const char *, size_t);

static inline text gimbal_value(gimbal_optional o) { return o.tag ? o.value : (text){0}; }

static inline text command_topic(void) {
    gimbal_optional o;
    gimbal_command_topic(&o);
    return gimbal_value(o);
}
static inline text command_group(void) {
    gimbal_optional o;
    gimbal_command_group(&o);
    return gimbal_value(o);
}
static inline text command_broker(void) {
    gimbal_optional o;
    gimbal_command_broker(&o);
    return gimbal_value(o);
}
static inline text command_remark(void) {
    gimbal_optional o;
    gimbal_command_remark(&o);
    return gimbal_value(o);
}
static inline text command_language(void) {
    text t;
    gimbal_command_language(&t);
    return t;
}
/* An ext field by its name on the wire. */
static inline text command_field(text name) {
    gimbal_optional o;
    gimbal_command_field(name.at, name.length, &o);
    return gimbal_value(o);
}
static inline void command_set_field(text name, text value) {
    gimbal_command_set_field(name.at, name.length, value.at, value.length);
}
static inline bool command_remove_field(text name) { return gimbal_command_remove_field(name.at, name.length); }
/* The body as it travels; needs `want_body`. */
static inline text command_body(void) {
    text t;
    gimbal_command_body(&t);
    return t;
}
static inline void command_set_body(text body) { gimbal_command_set_body(body.at, body.length); }

/* User messages inside a command; they need `want_body`. What can fail returns false, and then `gimbal_why` says why. */
extern text gimbal_why;
GIMBAL_IMPORT("messages", "count") void gimbal_messages_count(gimbal_result *);
GIMBAL_IMPORT("messages", "tags") void gimbal_messages_tags(uint32_t, gimbal_optional *);
GIMBAL_IMPORT("messages", "keys") void gimbal_messages_keys(uint32_t, gimbal_optional *);
GIMBAL_IMPORT("messages", "topic") void gimbal_messages_topic(uint32_t, gimbal_optional *);
GIMBAL_IMPORT("messages", "property") void gimbal_messages_property(uint32_t, const char *, size_t, gimbal_optional *);
GIMBAL_IMPORT("messages", "set-property")
void gimbal_messages_set_property(uint32_t, const char *, size_t, const char *, size_t, gimbal_result *);
GIMBAL_IMPORT("messages", "body") void gimbal_messages_body(uint32_t, gimbal_result *);
GIMBAL_IMPORT("messages", "set-body") void gimbal_messages_set_body(uint32_t, const char *, size_t, gimbal_result *);
GIMBAL_IMPORT("messages", "remove") void gimbal_messages_remove(uint32_t, gimbal_result *);
GIMBAL_IMPORT("messages", "body-size") uint32_t message_body_size(uint32_t index);

static inline bool gimbal_ok(gimbal_result r) {
    if (r.tag) gimbal_why = r.value;
    return r.tag == 0;
}

/* How many messages there are, numbered from 0. */
static inline bool message_count(uint32_t *count) {
    gimbal_result r;
    gimbal_messages_count(&r);
    *count = r.tag ? 0 : r.number;
    return gimbal_ok(r);
}
static inline text message_tags(uint32_t index) {
    gimbal_optional o;
    gimbal_messages_tags(index, &o);
    return gimbal_value(o);
}
static inline text message_keys(uint32_t index) {
    gimbal_optional o;
    gimbal_messages_keys(index, &o);
    return gimbal_value(o);
}
static inline text message_topic(uint32_t index) {
    gimbal_optional o;
    gimbal_messages_topic(index, &o);
    return gimbal_value(o);
}
static inline text message_property(uint32_t index, text name) {
    gimbal_optional o;
    gimbal_messages_property(index, name.at, name.length, &o);
    return gimbal_value(o);
}
static inline bool message_set_property(uint32_t index, text name, text value) {
    gimbal_result r;
    gimbal_messages_set_property(index, name.at, name.length, value.at, value.length, &r);
    return gimbal_ok(r);
}
/* The body, decompressed. */
static inline bool message_body(uint32_t index, text *body) {
    gimbal_result r;
    gimbal_messages_body(index, &r);
    *body = r.tag ? (text){0} : r.value;
    return gimbal_ok(r);
}
static inline bool message_set_body(uint32_t index, text body) {
    gimbal_result r;
    gimbal_messages_set_body(index, body.at, body.length, &r);
    return gimbal_ok(r);
}
/* Takes the message out. */
static inline bool message_remove(uint32_t index) {
    gimbal_result r;
    gimbal_messages_remove(index, &r);
    return gimbal_ok(r);
}

/* Who sent it. */
GIMBAL_IMPORT("client", "ip") void gimbal_client_ip(text *);
GIMBAL_IMPORT("client", "listener") void gimbal_client_listener(text *);
GIMBAL_IMPORT("client", "client-id") void gimbal_client_id(gimbal_optional *);
GIMBAL_IMPORT("client", "user") void gimbal_client_user(gimbal_optional *);
GIMBAL_IMPORT("client", "tls-subject") void gimbal_client_tls_subject(gimbal_optional *);
GIMBAL_IMPORT("client", "connection") uint64_t client_connection(void);

static inline text client_ip(void) {
    text t;
    gimbal_client_ip(&t);
    return t;
}
static inline text client_listener(void) {
    text t;
    gimbal_client_listener(&t);
    return t;
}
static inline text client_id(void) {
    gimbal_optional o;
    gimbal_client_id(&o);
    return gimbal_value(o);
}
/* The user that Gimbal verified. */
static inline text client_user(void) {
    gimbal_optional o;
    gimbal_client_user(&o);
    return gimbal_value(o);
}
static inline text client_tls_subject(void) {
    gimbal_optional o;
    gimbal_client_tls_subject(&o);
    return gimbal_value(o);
}

/* Token buckets, shared by all instances: whether `permits` were taken. */
typedef struct {
    uint8_t tag;
    uint64_t milliseconds;
} gimbal_wait;
GIMBAL_IMPORT("limit", "acquire")
void gimbal_limit_acquire(const char *, size_t, uint64_t, double, uint64_t, gimbal_wait *);
static inline bool limit_acquire(text key, uint64_t permits, double rate, uint64_t burst) {
    gimbal_wait wait;
    gimbal_limit_acquire(key.at, key.length, permits, rate, burst, &wait);
    return wait.tag == 0;
}

/* Adds to a counter that the operator sees as gimbal_filter_NAME. */
GIMBAL_IMPORT("metrics", "count")
void gimbal_metrics_count(const char *, size_t, const void *, size_t, uint64_t);
static inline void metrics_count(text name, uint64_t by) { gimbal_metrics_count(name.at, name.length, NULL, 0, by); }

/* Lines in Gimbal's log. */
enum { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
GIMBAL_IMPORT("log", "write") void gimbal_log_write(uint32_t, const char *, size_t);
static inline void log_write(uint32_t level, text line) { gimbal_log_write(level, line.at, line.length); }
/* Ends this call as a failure, with the reason in the log. */
static inline _Noreturn void fail(text why) {
    log_write(LOG_ERROR, why);
    __builtin_trap();
}

/* Nanoseconds since 1970. */
GIMBAL_IMPORT("clock", "now") uint64_t clock_now(void);

#endif
