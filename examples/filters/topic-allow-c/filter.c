/* Lets messages into the topics of a list alone. */
#include "gimbal.h"

enum { MOST = 64 };

/* A list of patterns out of the configuration. */
typedef struct {
    text at[MOST];
    size_t length;
} patterns;

static patterns topics;  /* that take messages */
static patterns users;   /* that may send everywhere */
static bool is_rehearsal; /* only tell what would be refused */

static bool read_patterns(patterns *into, text config, text key) {
    into->length = config_count(config, key);
    if (into->length > MOST) return false;
    for (size_t i = 0; i < into->length; i++) into->at[i] = config_at(config, key, i);
    return true;
}

static bool any_fits(const patterns *list, text t) {
    for (size_t i = 0; i < list->length; i++) {
        if (fits(list->at[i], t)) return true;
    }
    return false;
}

/* Called once. An empty list lets nothing in, which is more likely a mistake than a wish. */
text gimbal_init(text config) {
    if (!read_patterns(&topics, config, T("topics"))) return T("topics has more than 64 patterns");
    if (!read_patterns(&users, config, T("users"))) return T("users has more than 64 patterns");
    if (topics.length == 0) return T("topics is empty; accepted: at least one pattern, such as orders*");
    is_rehearsal = config_bool(config, T("rehearsal"), false);
    want_sends();
    return (text){0};
}

static verdict on_request(int32_t code) {
    (void)code;
    text topic = command_topic();
    if (any_fits(&topics, topic)) return forward();
    /* A consumer that cannot hand a message back to its group keeps it in memory, and does not get on. */
    if (starts_with(topic, T("%RETRY%"))) return forward();
    text user = client_user();
    if (is_there(user) && any_fits(&users, user)) return forward();

    text why = joined(topic, T(" is not on the list of topics"));
    metrics_count(T("refused"), 1);
    if (is_rehearsal) {
        log_write(LOG_WARN, joined(T("would be refused: "), why));
        return forward();
    }
    /* With this code producers give up at once; with 16 they would try every broker. */
    return command_is_oneway() ? drop() : answer(MESSAGE_ILLEGAL, why);
}

GIMBAL_REQUESTS(on_request);
