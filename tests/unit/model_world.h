/* A world for tests of turns: a server that follows a script, a model that asks it, and
 * what a turn told. */
#pragma once
#include "agent/model/model.h"
#include "base/buf.h"
#include "tests/common/model_server.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What a turn told. */
struct heard {
    struct loop *loop;
    struct turn *turn;
    struct buf text, thinking, tools, again, content;
    int dones, agains;
    uint64_t wait_ms;
    bool failed;
    struct err err;
    enum stop_reason stop;
    struct usage usage;
    size_t blocks, invalid;
    char stop_text[64], request_id[64], inputs[256];
    int cancel_at; /* cancels at the nth piece of text */
    int texts;
};

struct world {
    struct loop *loop;
    struct model_server server;
    struct model_config config;
    struct model *model;
    struct heard heard;
    char url[64];
};

extern const struct turn_events events;

void listen_to(struct world *w); /* forgets what was heard */
void set_up(struct world *w, const struct model_step *steps, size_t count);
/* One turn, until it is over; the model is made of w->config at the first one. */
void run(struct world *w);
void tear_down(struct world *w);

/* Streams, put together from events. */
#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"
#define BEGIN                                                                          \
    EVENT("message_start",                                                             \
          "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"        \
          "\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],"         \
          "\"stop_reason\":null,\"usage\":{\"input_tokens\":10,"                       \
          "\"cache_read_input_tokens\":5,\"output_tokens\":1}}}")
#define START(i, block)                                                                \
    EVENT("content_block_start", "{\"type\":\"content_block_start\",\"index\":" #i     \
                                 ",\"content_block\":" block "}")
#define DELTA(i, delta)                                                                \
    EVENT("content_block_delta",                                                       \
          "{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":" delta "}")
#define TEXT(i, text) DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define JSON(i, json)                                                                  \
    DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}")
#define STOP(i)                                                                        \
    EVENT("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":" #i "}")
#define END(reason)                                                                    \
    EVENT("message_delta",                                                             \
          "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason           \
          "\"},\"usage\":{\"output_tokens\":7}}")                                      \
    EVENT("message_stop", "{\"type\":\"message_stop\"}")
#define PING EVENT("ping", "{\"type\": \"ping\"}")
#define EMPTY_TEXT "{\"type\":\"text\",\"text\":\"\"}"
#define HELLO START(0, EMPTY_TEXT) TEXT(0, "Hel") TEXT(0, "lo") STOP(0)
#define HELLO_BLOCK "[{\"type\":\"text\",\"text\":\"Hello\"}]"
#define TOOL(id, name) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\""
