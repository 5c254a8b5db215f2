/* A request line, and what a verb does with its fields; a reply is parsed by the same function. */
#include "ctl/protocol.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_line l, again;
	size_t payload;
	int64_t i;
	char *line = malloc(size + 1);
	if (!line)
		return 0;
	memcpy(line, data, size);
	if (ctl_request_parse(line, size, &l, &payload) == 0) {
		struct ctl_text t = {0};
		assert(payload <= CTL_PAYLOAD_MAX);
		ctl_begin(&t, l.word);
		for (size_t f = 0; f < l.count; f++) {
			(void)!ctl_i64(&l, l.field[f].key, &i);
			ctl_put(&t, l.field[f].key, l.field[f].value);
		}
		/* What was accepted means the same when it is written again. Escaping can only make it longer. */
		if (t.len < CTL_LINE_MAX) {
			ctl_end(&t);
			assert(ctl_line_parse(t.p, t.len - 1, &again) == 0 && again.count == l.count);
			for (size_t f = 0; f < l.count; f++)
				assert(!strcmp(again.field[f].value, l.field[f].value));
		}
		ctl_text_free(&t);
	}
	free(line);
	return 0;
}
