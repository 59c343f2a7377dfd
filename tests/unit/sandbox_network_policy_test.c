/* Addresses and network policies: what is public, which domains a rule means, the forms
 * of flags and of JSON. */
#include "sandbox/network_policy.h"
#include "tests/unit/check.h"

static struct address address(const char *text)
{
    struct address a;
    if (!address_parse(str_of(text), &a))
        fail_msg("not an address: %s", text);
    return a;
}

static void addresses_by_class(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum address_class class;
    } rows[] = {
        {"8.8.8.8", ADDRESS_PUBLIC},
        {"203.0.113.80", ADDRESS_PUBLIC},
        {"0.0.0.0", ADDRESS_UNSPECIFIED},
        {"0.1.2.3", ADDRESS_UNSPECIFIED},
        {"10.255.255.255", ADDRESS_PRIVATE},
        {"11.0.0.0", ADDRESS_PUBLIC},
        {"100.63.255.255", ADDRESS_PUBLIC},
        {"100.64.0.1", ADDRESS_PRIVATE},
        {"100.127.255.255", ADDRESS_PRIVATE},
        {"100.128.0.0", ADDRESS_PUBLIC},
        {"100.100.100.200", ADDRESS_METADATA},
        {"127.0.0.1", ADDRESS_LOOPBACK},
        {"127.255.0.9", ADDRESS_LOOPBACK},
        {"168.63.129.16", ADDRESS_METADATA},
        {"169.254.169.254", ADDRESS_METADATA},
        {"169.254.170.2", ADDRESS_METADATA},
        {"169.254.1.1", ADDRESS_LINK_LOCAL},
        {"172.15.255.255", ADDRESS_PUBLIC},
        {"172.16.0.0", ADDRESS_PRIVATE},
        {"172.31.255.255", ADDRESS_PRIVATE},
        {"172.32.0.0", ADDRESS_PUBLIC},
        {"192.0.0.192", ADDRESS_METADATA},
        {"192.0.0.8", ADDRESS_RESERVED},
        {"192.168.1.1", ADDRESS_PRIVATE},
        {"198.18.0.1", ADDRESS_RESERVED},
        {"198.19.255.255", ADDRESS_RESERVED},
        {"198.20.0.0", ADDRESS_PUBLIC},
        {"224.0.0.1", ADDRESS_MULTICAST},
        {"240.0.0.1", ADDRESS_RESERVED},
        {"255.255.255.255", ADDRESS_RESERVED},
        {"2606:4700::1111", ADDRESS_PUBLIC},
        {"::", ADDRESS_UNSPECIFIED},
        {"::1", ADDRESS_LOOPBACK},
        {"::7f00:1", ADDRESS_LOOPBACK},
        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
        {"::ffff:10.0.0.1", ADDRESS_PRIVATE},
        {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
        {"::ffff:0:8.8.8.8", ADDRESS_RESERVED},
        {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
        {"64:ff9b::a9fe:a9fe", ADDRESS_METADATA},
        {"64:ff9b::8.8.8.8", ADDRESS_PUBLIC},
        {"64:ff9b:1::8.8.8.8", ADDRESS_PRIVATE},
        {"2002:a00:1::1", ADDRESS_PRIVATE},
        {"2002:7f00:1::", ADDRESS_LOOPBACK},
        {"2001:0:1::", ADDRESS_RESERVED},
        {"100::1", ADDRESS_RESERVED},
        {"fc00::1", ADDRESS_PRIVATE},
        {"fdff::1", ADDRESS_PRIVATE},
        {"fd00:ec2::254", ADDRESS_METADATA},
        {"fe80::1", ADDRESS_LINK_LOCAL},
        {"febf::1", ADDRESS_LINK_LOCAL},
        {"fec0::1", ADDRESS_PRIVATE},
        {"ff02::1", ADDRESS_MULTICAST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address a = address(rows[i].text);
        if (address_class(&a) != rows[i].class)
            fail_msg("%s is %s", rows[i].text, address_class_name(address_class(&a)));
    }
}

static void what_is_no_address(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "1",         "1.2.3",    "0x7f.0.0.1",
        "1.2.3.4 ", "1.2.3.256", "[::1]",    "fe80::1%eth0",
        "::1::",    "1.2.3.4/8", "localhost"};
    struct address a;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (address_parse(str_of(bad[i]), &a))
            fail_msg("taken: %s", bad[i]);
    assert_false(address_parse((struct str){"1.2.3.4\0", 8}, &a));
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *canonical, *inside, *outside;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"10.1.2.3/8", "10.0.0.0/8", "::ffff:10.9.9.9", "9.255.255.255"},
        {"192.168.4.4", "192.168.4.4/32", "192.168.4.4", "192.168.4.5"},
        {"172.16.0.0/12", "172.16.0.0/12", "172.31.9.9", "172.32.0.0"},
        {"0.0.0.0/0", "0.0.0.0/0", "8.8.8.8", "2606::1"},
        {"::/0", "::/0", "2606::1", NULL},
        {"fd00::/8", "fd00::/8", "fd12::1", "fc12::1"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8", "10.1.1.1", "11.1.1.1"},
    };
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::/129",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8/8",
                                      "a.com/8",
                                      "10.0.0.0/0008"};
    struct address_range r;
    struct err err;
    char text[ADDRESS_RANGE_TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(address_range_parse(str_of(rows[i].range), &r, &err), 0);
        address_range_format(&r, text);
        assert_string_equal(text, rows[i].canonical);
        struct address a = address(rows[i].inside);
        assert_true(address_range_has(&r, &a));
        if (!rows[i].outside)
            continue;
        a = address(rows[i].outside);
        assert_false(address_range_has(&r, &a));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (address_range_parse(str_of(bad[i]), &r, &err) == 0)
            fail_msg("taken: %s", bad[i]);
}

static void wildcards(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *name;
        bool matches;
    } rows[] = {
        {"*", "com", true},
        {"*", "a.b.c.d", true},
        {"x.com", "x.com", true},
        {"x.com", "a.x.com", false},
        {"x.com", "x.com.evil", false},
        {"x.com", "ax.com", false},
        {"*.x.com", "x.com", false},
        {"*.x.com", "a.x.com", true},
        {"*.x.com", "a.b.c.x.com", true},
        {"*.x.com", "ax.com", false},
        {"*.x.com", "a.x.com.evil", false},
        {"*.com", "x.com", true},
        {"*.com", "com", false},
        {"www.*.com", "www.x.com", true},
        {"www.*.com", "www.com", false},
        {"www.*.com", "www.x.y.com", false},
        {"www.*.com", "w.x.com", false},
        {"*.*.com", "x.com", false},
        {"*.*.com", "a.x.com", true},
        {"*.*.com", "b.a.x.com", true},
        {"*.a.*.com", "x.a.b.com", true},
        {"*.a.*.com", "a.b.com", false},
        {"api.*", "api.com", true},
        {"api.*", "api", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (network_domain_matches(rows[i].rule, str_of(rows[i].name)) !=
            rows[i].matches)
            fail_msg("%s, %s", rows[i].rule, rows[i].name);
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "localhost", "a.b-c.d_e", "1.2.3.4a",
                                       "xn--bcher-kva.example"};
    static const char *const bad[] = {"",      ".",   "a.",        "a..b",   ".a",
                                      "127.1", "1",   "0x7f.1",    "a.0x7f", "a b",
                                      "a/b",   "a:1", "b\xc3\xbc", "a@b",    "*.a"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!network_is_name(str_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (network_is_name(str_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
    char label[65];
    memset(label, 'a', sizeof label);
    assert_true(network_is_name((struct str){label, 63}));
    assert_false(network_is_name((struct str){label, 64}));
}

static struct str written(const struct network_policy *p, struct buf *b)
{
    struct json_writer w;
    buf_reset(b, 1 << 20);
    jw_init(&w, b);
    network_policy_write(p, &w);
    return buf_str(b);
}

static void flags(void **state)
{
    (void)state;
#define CUSTOM(domains, allowed, denied)                                               \
    "{\"mode\":\"custom\",\"allowedDomains\":[" domains "],\"allowedCIDRs\":[" allowed \
    "],\"deniedCIDRs\":[" denied "]}"
    static const struct {
        const char *allow[3], *deny, *result; /* NULL: refused */
    } rows[] = {
        {{"allow-all"}, NULL, "{\"mode\":\"allow-all\"}"},
        {{"deny-all"}, NULL, "{\"mode\":\"deny-all\"}"},
        {{"deny-all", "deny-all"}, NULL, "{\"mode\":\"deny-all\"}"},
        {{NULL}, "8.8.8.0/24", CUSTOM("\"*\"", "", "\"8.8.8.0/24\"")},
        {{"GitHub.com, *.npmjs.org"},
         NULL,
         CUSTOM("\"github.com\",\"*.npmjs.org\"", "", "")},
        {{"allow-all", "10.0.0.0/8"}, NULL, CUSTOM("\"*\"", "\"10.0.0.0/8\"", "")},
        {{"allow-all,::1"}, NULL, CUSTOM("\"*\"", "\"::1/128\"", "")},
        {{"a.com"},
         "1.2.3.4,5.6.0.0/16",
         CUSTOM("\"a.com\"", "", "\"1.2.3.4/32\",\"5.6.0.0/16\"")},
        {{"10.0.0.0/8"}, NULL, CUSTOM("", "\"10.0.0.0/8\"", "")},
        {{"deny-all", "a.com"}, NULL, NULL},
        {{"a.com", "deny-all"}, NULL, NULL},
        {{"a.com,deny-all"}, NULL, NULL},
        {{"https://a.com"}, NULL, NULL},
        {{"a.com:443"}, NULL, NULL},
        {{""}, NULL, NULL},
        {{"a.com,,b.com"}, NULL, NULL},
        {{"10.0.0.0/99"}, NULL, NULL},
        {{"a.com"}, "b.com", NULL},
    };
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network_policy p = {0};
        struct err err;
        bool given = false;
        int rc = 0;
        for (int k = 0; k < 3 && rows[i].allow[k] && rc == 0; k++)
            rc = network_policy_allow(&p, &given, str_of(rows[i].allow[k]), &err);
        if (rc == 0 && rows[i].deny)
            rc = network_policy_deny(&p, str_of(rows[i].deny), &err);
        if (rc == 0 && !rows[i].result)
            fail_msg("row %zu was taken", i);
        if (rc < 0 && rows[i].result)
            fail_msg("row %zu: %s", i, err.msg);
        if (rc == 0 && !str_eq(written(&p, &b), str_of(rows[i].result)))
            fail_msg("row %zu: %.*s", i, STR_FMT(buf_str(&b)));
        if (rc < 0)
            assert_int_equal(err.kind, ERR_INVALID);
        network_policy_finish(&p);
    }
    buf_finish(&b);
}

static void requests(void **state)
{
    (void)state;
    static const struct {
        const char *request, *result; /* NULL: refused */
    } rows[] = {
        {"\"allow-all\"", "{\"mode\":\"allow-all\"}"},
        {"\"deny-all\"", "{\"mode\":\"deny-all\"}"},
        {"{\"mode\":\"allow-all\"}", "{\"mode\":\"allow-all\"}"},
        {"{\"mode\":\"deny-all\"}", "{\"mode\":\"deny-all\"}"},
        {"{}", "{\"mode\":\"deny-all\"}"},
        {"{\"allow\":[]}", "{\"mode\":\"deny-all\"}"},
        {"{\"subnets\":{\"deny\":[\"10.0.0.0/8\"]}}", "{\"mode\":\"deny-all\"}"},
        {"{\"allow\":[\"*.Example.org\",\"github.com\"],\"subnets\":{\"allow\":[\"10.0."
         "0.0/8\"],"
         "\"deny\":[\"10.1.0.0/16\"]}}",
         CUSTOM("\"*.example.org\",\"github.com\"", "\"10.0.0.0/8\"",
                "\"10.1.0.0/16\"")},
        {"{\"allow\":{\"github.com\":[],\"*\":[]}}",
         CUSTOM("\"github.com\",\"*\"", "", "")},
        {"{\"mode\":\"custom\",\"allowedDomains\":[\"a.com\"],\"allowedCIDRs\":[\"::"
         "1\"],"
         "\"deniedCIDRs\":[],\"injectionRules\":[]}",
         CUSTOM("\"a.com\"", "\"::1/128\"", "")},
        {"{\"allow\":{\"a.com\":[{\"transform\":[]}]}}", NULL},
        {"{\"mode\":\"custom\",\"allowedDomains\":[\"a.com\"],\"injectionRules\":[{}]}",
         NULL},
        {"{\"mode\":\"allow-all\",\"allow\":[\"a.com\"]}", NULL},
        {"{\"mode\":\"none\"}", NULL},
        {"{\"allow\":[\"1.2.3.4\"]}", NULL},
        {"{\"allow\":[\"http://a.com\"]}", NULL},
        {"{\"allow\":[1]}", NULL},
        {"{\"allow\":\"a.com\"}", NULL},
        {"{\"subnets\":[]}", NULL},
        {"{\"subnets\":{\"block\":[]}}", NULL},
        {"{\"subnets\":{\"allow\":[\"a.com\"]}}", NULL},
        {"{\"allowed\":[\"a.com\"]}", NULL},
        {"[]", NULL},
        {"null", NULL},
        {"\"open\"", NULL},
    };
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network_policy p;
        struct json_doc doc;
        struct arena a = {0};
        struct err err;
        assert_int_equal(json_parse(&doc, &a, str_of(rows[i].request), &err), 0);
        int rc = network_policy_read(&p, json_root(&doc), &err);
        if ((rc == 0) != (rows[i].result != NULL))
            fail_msg("%s: %s", rows[i].request, rc < 0 ? err.msg : "taken");
        if (rc == 0) {
            struct network_policy copy;
            network_policy_copy(&copy, &p);
            network_policy_finish(&p);
            if (!str_eq(written(&copy, &b), str_of(rows[i].result)))
                fail_msg("%s: %.*s", rows[i].request, STR_FMT(buf_str(&b)));
            network_policy_finish(&copy);
        }
        arena_finish(&a);
    }
    buf_finish(&b);
}

static void decisions(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *deny, *name, *address;
        bool own;
        enum network_verdict verdict;
    } rows[] = {
        {"allow-all", NULL, "a.com", "8.8.8.8", false, NETWORK_ALLOWED},
        {"allow-all", NULL, "", "8.8.8.8", false, NETWORK_ALLOWED},
        {"allow-all", NULL, "", "8.8.8.8", true, NETWORK_OWN_ADDRESS},
        {"allow-all", NULL, "a.com", "10.0.0.1", false, NETWORK_NOT_PUBLIC},
        {"allow-all", NULL, "a.com", "::ffff:169.254.169.254", false,
         NETWORK_NOT_PUBLIC},
        {"allow-all", NULL, "", "64:ff9b::10.0.0.1", false, NETWORK_NOT_PUBLIC},
        {"allow-all,10.0.0.0/8", NULL, "a.com", "10.0.0.1", false, NETWORK_ALLOWED},
        {"allow-all,192.0.2.2", NULL, "", "192.0.2.2", true, NETWORK_ALLOWED},
        {"allow-all,10.0.0.0/8", "10.1.0.0/16", "a.com", "10.1.0.1", false,
         NETWORK_DENIED},
        {"allow-all", "8.8.8.0/24", "", "64:ff9b::808:808", false, NETWORK_DENIED},
        {"a.com", NULL, "a.com", "8.8.8.8", false, NETWORK_ALLOWED},
        {"a.com", NULL, "b.com", "8.8.8.8", false, NETWORK_NOT_NAMED},
        {"a.com", NULL, "", "8.8.8.8", false, NETWORK_NOT_NAMED},
        {"a.com", NULL, "a.com", "127.0.0.1", false, NETWORK_NOT_PUBLIC},
        {"a.com,127.0.0.1", NULL, "a.com", "127.0.0.1", false, NETWORK_ALLOWED},
        {"8.8.0.0/16", NULL, "", "8.8.8.8", false, NETWORK_ALLOWED},
        {"8.8.0.0/16", NULL, "", "9.9.9.9", false, NETWORK_NOT_NAMED},
        {"8.8.0.0/16", NULL, "a.com", "8.8.8.8", false, NETWORK_NOT_NAMED},
        {"deny-all", NULL, "a.com", "8.8.8.8", false, NETWORK_OFF},
        {"deny-all", NULL, "", "8.8.8.8", false, NETWORK_OFF},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct network_policy p = {0};
        struct err err;
        bool given = false;
        struct address a = address(rows[i].address);
        assert_int_equal(network_policy_allow(&p, &given, str_of(rows[i].allow), &err),
                         0);
        if (rows[i].deny)
            assert_int_equal(network_policy_deny(&p, str_of(rows[i].deny), &err), 0);
        enum network_verdict v =
            network_policy_address(&p, str_of(rows[i].name), &a, rows[i].own);
        if (v != rows[i].verdict)
            fail_msg("row %zu: %d", i, v);
        network_policy_finish(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_by_class),
        cmocka_unit_test(what_is_no_address),
        cmocka_unit_test(ranges),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(names),
        cmocka_unit_test(flags),
        cmocka_unit_test(requests),
        cmocka_unit_test(decisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
