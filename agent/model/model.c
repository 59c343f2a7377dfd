#include "agent/model/model.h"
#include "agent/model/base_url.h"
#include "agent/model/private.h"
#include "agent/model/request.h"
#include "base/mem.h"

void model_config_init(struct model_config *config)
{
    *config = (struct model_config){
        .version = MODEL_API_VERSION,
        .max_tokens = MODEL_MAX_TOKENS,
        .retries = MODEL_RETRIES,
        .repeats = MODEL_RETRIES,
        .wait_max_ms = MODEL_WAIT_MAX_MS,
        .stall_ms = MODEL_STALL_MS,
    };
}

int model_new(struct model **ret_model, struct loop *loop,
              const struct model_config *config, struct err *err)
{
    struct http_config http = {.user_agent = "sandquay/" SANDQUAY_VERSION,
                               .ca_file = config->ca_file};
    struct str base;
    if (base_url_check(config->base_url, config->key || config->header_count, &base,
                       err) < 0)
        return -1;
    struct model *m = mem_new(struct model);
    m->loop = loop;
    m->config = *config;
    m->version = config->version;
    if (http_client_new(&m->http, loop, &http, err) < 0) {
        mem_free(m);
        return -1;
    }
    buf_init(&m->url, base.n + 32);
    buf_adds(&m->url, base);
    buf_addz(&m->url, "/v1/messages");
    buf_init(&m->head, MODEL_REQUEST_MAX);
    request_head(&m->head, config);
    *ret_model = m;
    return 0;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    while (model->turns)
        turn_cancel(model->turns);
    http_client_free(model->http);
    buf_finish(&model->url);
    buf_finish(&model->head);
    mem_free(model);
}
