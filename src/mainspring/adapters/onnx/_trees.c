/* Score rows with a forest of binary decision trees: the small engine behind `adapters/onnx/trees.py`.

   plan(...) takes the forest as flat arrays, checks every index of it, and returns a capsule. score(plan, numbers, out)
   walks it. After the checks no walk can leave the arrays: children stand behind their parent, a leaf leads to itself,
   and every walk takes a fixed number of steps. So arrays from a hostile file cost time at most, never memory safety.

   One row walks: a node is 16 bytes, its two children are neighbours, a step is `left + (x > threshold)` without a
   branch, and eight trees go side by side, for a walk alone waits for its loads. Sixteen rows at a time ask all
   questions of a tree of up to 32 leaves instead: each answer "right" strikes out the leaves on the left, and the first
   leaf that is left over is the row's (QuickScorer, Lucchese et al., SIGIR 2015); that is plain vector arithmetic. Larger
   trees are walked by eight rows side by side. Scores are summed in float32 in the order of the trees, as ONNX Runtime
   does on one thread.

   C99 and CPython's limited API of 3.11: one binary serves all later versions. No numpy headers: buffers only. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 8                /* walks side by side */
#define ROWS 16                /* rows of a block */
#define FEW 32                 /* leaves that fit the bits of a word */
#define BETWEEN 4              /* steps between two looks whether all walks have ended */
#define NAME "mainspring.trees"
#define MOST_FEATURES 65536
#define MOST_NODES (1 << 28)
#define MOST_STEPS 4096        /* of the arithmetic behind the trees */
#define SMALL 2048             /* floats of a block that still go on the stack */
#define LONG_WORK (1 << 21)    /* steps, about 1 to 2 ms: then other threads may run */

enum { NAN_RIGHT = 1, EQUAL = 2 };                       /* flags of a node */
enum { ADD, MULTIPLY, DIVIDE, SUBTRACT_FROM, DIVIDE_INTO, EXPONENTIAL, LOGISTIC, STEPS };

typedef struct { float threshold; int32_t feature, left; float value; } Node;
typedef struct { float threshold; int32_t feature, struck, flags; } Test;
typedef struct { int32_t kind; float constant; } Step;
typedef struct {
    int32_t count, trees, features, steps;
    int plain;             /* no node asks for equality: rows without NaN need no flags */
    int64_t longest;       /* steps of one row through all trees */
    float base;
    Node *nodes;
    uint8_t *flags;
    int32_t *roots, *depths, *order; /* order: trees by depth, so that eight neighbours take about as many steps */
    int32_t *leaves;                 /* of each tree; above FEW it has no tests */
    Test *tests;                     /* of the trees of few leaves, one tree after the other: leaves - 1 each */
    float *values;                   /* of their leaves from left to right */
    Step *chain;
} Plan;

static void plan_free(Plan *p)
{
    if (p) {
        PyMem_Free(p->nodes); PyMem_Free(p->flags); PyMem_Free(p->roots);
        PyMem_Free(p->depths); PyMem_Free(p->order); PyMem_Free(p->chain);
        PyMem_Free(p->leaves); PyMem_Free(p->tests); PyMem_Free(p->values);
        PyMem_Free(p);
    }
}

static void capsule_free(PyObject *capsule)
{
    plan_free((Plan *)PyCapsule_GetPointer(capsule, NAME));
}

/* ---- checks ---- */

static int refuse(const char *what) { PyErr_SetString(PyExc_ValueError, what); return -1; }

static int check_nodes(Plan *p, const int32_t *feature, const int32_t *left, const float *threshold)
{
    for (int32_t i = 0; i < p->count; i++) {
        if (left[i] == -1)
            continue;
        if (left[i] <= i || left[i] > p->count - 2)
            return refuse("a child does not stand behind its parent");
        if (feature[i] < 0 || feature[i] >= p->features)
            return refuse("a node reads a feature that is not there");
        if (threshold[i] != threshold[i])
            return refuse("a threshold is not a number");
    }
    return 0;
}

static int find_depths(Plan *p, const int32_t *left)
{
    /* children stand behind parents, so one pass from the back knows how far each node is from its deepest leaf */
    int32_t *height = PyMem_Malloc(sizeof(int32_t) * (size_t)p->count);
    if (!height) { PyErr_NoMemory(); return -1; }
    for (int32_t i = p->count - 1; i >= 0; i--) {
        int32_t at = left[i];
        height[i] = at == -1 ? 0 : 1 + (height[at] > height[at + 1] ? height[at] : height[at + 1]);
    }
    for (int32_t t = 0; t < p->trees; t++) {
        p->depths[t] = height[p->roots[t]];
        p->longest += p->depths[t];
    }
    PyMem_Free(height);
    return 0;
}

static int find_order(Plan *p)
{
    /* trees by depth, counted: a depth is below the number of nodes */
    int32_t most = 0, at = 0;
    for (int32_t t = 0; t < p->trees; t++)
        if (p->depths[t] > most) most = p->depths[t];
    int32_t *starts = PyMem_Calloc((size_t)most + 2, sizeof(int32_t));
    if (!starts) { PyErr_NoMemory(); return -1; }
    for (int32_t t = 0; t < p->trees; t++) starts[p->depths[t] + 1]++;
    for (int32_t d = 0; d <= most; d++) { at += starts[d]; starts[d] = at; }
    for (int32_t t = 0; t < p->trees; t++) p->order[starts[p->depths[t]]++] = t;
    PyMem_Free(starts);
    return 0;
}

/* Write a tree's tests and leaf values; return its leaves as bits from `first` on. At most FEW deep, for FEW leaves. */
static uint32_t write_tests(const Plan *p, int32_t at, int32_t *first, Test **test, float **value)
{
    const Node *node = p->nodes + at;
    if (node->left == at) {
        *(*value)++ = node->value;
        return (uint32_t)1 << (*first)++;
    }
    Test *mine = (*test)++;
    uint32_t left = write_tests(p, node->left, first, test, value);
    Test made = {node->threshold, node->feature, (int32_t)left, p->flags[at]};
    *mine = made;
    return left | write_tests(p, node->left + 1, first, test, value);
}

static int find_tests(Plan *p)
{
    size_t all = 0;
    int32_t *leaves = PyMem_Malloc(sizeof(int32_t) * (size_t)p->count);
    if (!leaves) { PyErr_NoMemory(); return -1; }
    for (int32_t i = p->count - 1; i >= 0; i--) {
        int32_t at = p->nodes[i].left, sum = at == i ? 1 : leaves[at] + leaves[at + 1];
        leaves[i] = sum > FEW ? FEW + 1 : sum;
    }
    for (int32_t t = 0; t < p->trees; t++) {
        p->leaves[t] = leaves[p->roots[t]];
        all += (size_t)(p->leaves[t] > FEW ? 0 : p->leaves[t]);
    }
    PyMem_Free(leaves);
    p->tests = PyMem_Malloc(sizeof(Test) * (all + 1));
    p->values = PyMem_Malloc(sizeof(float) * (all + 1));
    if (!p->tests || !p->values) { PyErr_NoMemory(); return -1; }
    Test *test = p->tests;
    float *value = p->values;
    for (int32_t t = 0; t < p->trees; t++) {
        int32_t first = 0;
        if (p->leaves[t] <= FEW)
            write_tests(p, p->roots[t], &first, &test, &value);
    }
    return 0;
}

static int fill(Plan *p, const Py_buffer *views)
{
    const float *threshold = views[0].buf, *value = views[4].buf;
    const int32_t *feature = views[1].buf, *left = views[2].buf;
    if (check_nodes(p, feature, left, threshold) < 0)
        return -1;
    memcpy(p->flags, views[3].buf, (size_t)p->count);
    memcpy(p->roots, views[5].buf, sizeof(int32_t) * (size_t)p->trees);
    if (p->steps)
        memcpy(p->chain, views[6].buf, sizeof(Step) * (size_t)p->steps);
    p->plain = 1;
    for (int32_t i = 0; i < p->count; i++) {
        Node leaf = {INFINITY, 0, i, value[i]}, branch = {threshold[i], feature[i], left[i], 0.0f};
        p->nodes[i] = left[i] == -1 ? leaf : branch;
        if (left[i] == -1)
            p->flags[i] = 0;
        else if (p->flags[i] & EQUAL)
            p->plain = 0;
    }
    for (int32_t t = 0; t < p->trees; t++)
        if (p->roots[t] < 0 || p->roots[t] >= p->count)
            return refuse("a root is not there");
    for (int32_t s = 0; s < p->steps; s++)
        if (p->chain[s].kind < 0 || p->chain[s].kind >= STEPS)
            return refuse("an unknown step");
    return find_depths(p, left) < 0 || find_order(p) < 0 || find_tests(p) < 0 ? -1 : 0;
}

static int sizes(Plan *p, const Py_buffer *v)
{
    Py_ssize_t n = v[3].len, trees = v[5].len / 4, steps = v[6].len / (Py_ssize_t)sizeof(Step);
    if (n < 1 || n > MOST_NODES || trees < 1 || trees > n || steps > MOST_STEPS)
        return refuse("too few or too many nodes, trees or steps");
    if (v[0].len != 4 * n || v[1].len != 4 * n || v[2].len != 4 * n || v[4].len != 4 * n)
        return refuse("the arrays of nodes have different lengths");
    if (v[5].len != 4 * trees || v[6].len != steps * (Py_ssize_t)sizeof(Step))
        return refuse("roots or steps are cut off");
    if (p->features < 1 || p->features > MOST_FEATURES)
        return refuse("too few or too many features");
    p->count = (int32_t)n; p->trees = (int32_t)trees; p->steps = (int32_t)steps;
    return 0;
}

static Plan *plan_made(int features, float base, const Py_buffer *v)
{
    Plan *p = PyMem_Calloc(1, sizeof(Plan));
    if (!p) { PyErr_NoMemory(); return NULL; }
    p->features = features; p->base = base;
    if (sizes(p, v) == 0) {
        p->nodes = PyMem_Malloc(sizeof(Node) * (size_t)p->count);
        p->flags = PyMem_Malloc((size_t)p->count);
        p->roots = PyMem_Malloc(4 * (size_t)p->trees);
        p->depths = PyMem_Malloc(4 * (size_t)p->trees);
        p->order = PyMem_Malloc(4 * (size_t)p->trees);
        p->leaves = PyMem_Malloc(4 * (size_t)p->trees);
        p->chain = PyMem_Malloc(sizeof(Step) * (size_t)(p->steps + 1));
        if (!p->leaves || !p->nodes || !p->flags || !p->roots || !p->depths || !p->order || !p->chain)
            PyErr_NoMemory();
        else if (fill(p, v) == 0)
            return p;
    }
    plan_free(p);
    return NULL;
}

/* ---- walks ---- */

static inline int32_t step(const Node *at, float x) { return at->left + (x > at->threshold); }

/* The same for rows with NaN and for nodes that ask whether x equals the threshold (then: left). */
static inline int32_t careful_step(const Node *at, float x, int flag)
{
    int lost = (x != x) & flag & NAN_RIGHT, below = (x < at->threshold) & (flag >> 1);
    return at->left + ((x > at->threshold) | lost | below);
}

static inline int all_leaves(const Node *nodes, const int32_t *node)
{
    int open = 0;
    for (int l = 0; l < LANES; l++) open |= nodes[node[l]].left ^ node[l];
    return !open;
}

/* Take eight walks to their leaves; X(l) is the value that walk l reads at the node `at`. */
#define WALK(X) \
    for (int32_t d = 0; d < depth; d += BETWEEN) { \
        int32_t stop = depth - d < BETWEEN ? depth - d : BETWEEN; \
        for (int32_t s = 0; s < stop; s++) \
            for (int l = 0; l < LANES; l++) { \
                const Node *at = nodes + node[l]; \
                node[l] = careful ? careful_step(at, X(l), flags[node[l]]) : step(at, X(l)); \
            } \
        if (d + BETWEEN < depth && all_leaves(nodes, node)) \
            break; \
    }
#define OF_ROW(l) row[at->feature]
#define OF_BLOCK(l) block[at->feature * ROWS + (l)]

/* One row through eight trees at a time; `found` is a leaf's value a tree. */
static inline void walk_row(const Plan *p, const float *row, const int careful, float *found)
{
    const Node *nodes = p->nodes;
    const uint8_t *flags = p->flags;
    for (int32_t t = 0; t < p->trees; t += LANES) {
        int32_t node[LANES], tree[LANES];
        for (int l = 0; l < LANES; l++) {
            tree[l] = p->order[t + l < p->trees ? t + l : p->trees - 1];
            node[l] = p->roots[tree[l]];
        }
        int32_t depth = p->depths[tree[LANES - 1]];
        WALK(OF_ROW)
        for (int l = 0; l < LANES; l++) found[tree[l]] = nodes[node[l]].value;
    }
}

#if defined(__GNUC__)
#define first_bit(bits) __builtin_ctz(bits)
#else
static inline int first_bit(uint32_t bits)
{
    static const unsigned char places[32] = {0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
                                             31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9};
    return places[((bits & (0u - bits)) * 0x077CB531u) >> 27];
}
#endif

/* Ask a tree's questions about all rows of a block, and strike leaves out. The last leaf never is: bits are not 0. */
#if defined(__GNUC__)
/* Vectors of four are what every 64-bit processor has; wider ones gcc takes apart element by element. */
typedef float Four __attribute__((vector_size(16)));
typedef int32_t Words __attribute__((vector_size(16)));

static inline void ask_tree(const Test *test, int32_t tests, const float *block, const int careful, uint32_t *bits)
{
    Words left[ROWS / 4];
    for (int v = 0; v < ROWS / 4; v++) left[v] = ~(Words){0, 0, 0, 0};
    for (int32_t i = 0; i < tests; i++, test++) {
        const Four threshold = {test->threshold, test->threshold, test->threshold, test->threshold};
        const Words struck = {test->struck, test->struck, test->struck, test->struck};
        for (int v = 0; v < ROWS / 4; v++) {
            Four x;
            memcpy(&x, block + test->feature * ROWS + 4 * v, sizeof x);
            Words right = x > threshold;
            if (careful) {
                if (test->flags & NAN_RIGHT) right |= x != x;
                if (test->flags & EQUAL) right |= x < threshold;
            }
            left[v] &= ~(right & struck);
        }
    }
    memcpy(bits, left, sizeof left);
}
#else
static inline void ask_tree(const Test *test, int32_t tests, const float *block, const int careful, uint32_t *bits)
{
    for (int l = 0; l < ROWS; l++) bits[l] = ~(uint32_t)0;
    for (int32_t i = 0; i < tests; i++, test++) {
        const float *x = block + test->feature * ROWS, threshold = test->threshold;
        const int lost = careful && test->flags & NAN_RIGHT, equal = careful && test->flags & EQUAL;
        for (int l = 0; l < ROWS; l++) {
            int right = (x[l] > threshold) | (lost & (x[l] != x[l])) | (equal & (x[l] < threshold));
            bits[l] &= ~((0u - (uint32_t)right) & (uint32_t)test->struck);
        }
    }
}
#endif

/* A block of rows through one tree after the other. block: feature by feature, ROWS values each. */
static inline void ask_block(const Plan *p, const float *rows, const int careful, float *sums)
{
    const Node *nodes = p->nodes;
    const uint8_t *flags = p->flags;
    const Test *test = p->tests;
    const float *value = p->values;
    for (int l = 0; l < ROWS; l++) sums[l] = 0.0f;
    for (int32_t t = 0; t < p->trees; t++) {
        int32_t leaves = p->leaves[t], depth = p->depths[t];
        if (leaves <= FEW) {
            uint32_t bits[ROWS];
            ask_tree(test, leaves - 1, rows, careful, bits);
            for (int l = 0; l < ROWS; l++) sums[l] += value[first_bit(bits[l])];
            test += leaves - 1;
            value += leaves;
            continue;
        }
        for (int half = 0; half < ROWS; half += LANES) {
            const float *block = rows + half;
            int32_t node[LANES];
            for (int l = 0; l < LANES; l++) node[l] = p->roots[t];
            WALK(OF_BLOCK)
            for (int l = 0; l < LANES; l++) sums[half + l] += nodes[node[l]].value;
        }
    }
}

static double finish(const Plan *p, float score)
{
    score += p->base;
    for (int32_t s = 0; s < p->steps; s++) {
        float c = p->chain[s].constant, e;
        switch (p->chain[s].kind) {
        case ADD: score += c; break;
        case MULTIPLY: score *= c; break;
        case DIVIDE: score /= c; break;
        case SUBTRACT_FROM: score = c - score; break;
        case DIVIDE_INTO: score = c / score; break;
        case EXPONENTIAL: score = expf(score); break;
        default: e = 1.0f / (1.0f + expf(-fabsf(score))); score = score < 0 ? 1.0f - e : e; break;
        }
    }
    return (double)score;
}

/* ---- rows ---- */

typedef struct { const char *data; Py_ssize_t rows, row_step, column_step; int is_double; } Matrix;

static float number(const Matrix *m, Py_ssize_t row, Py_ssize_t column)
{
    const char *place = m->data + row * m->row_step + column * m->column_step;
    if (m->is_double) { double d; memcpy(&d, place, 8); return (float)d; }
    float f; memcpy(&f, place, 4); return f;
}

/* Copy rows, feature by feature (the last row again where there are fewer than `lanes`); tell whether one holds a NaN. */
static int copied(const Matrix *m, Py_ssize_t first, int lanes, int32_t features, float *block)
{
    int nan = 0;
    for (int l = 0; l < lanes; l++) {
        Py_ssize_t row = first + l < m->rows ? first + l : m->rows - 1;
        for (int32_t f = 0; f < features; f++) {
            float x = number(m, row, f);
            nan |= x != x;
            block[(Py_ssize_t)f * lanes + l] = x;
        }
    }
    return nan;
}

static void run(const Plan *p, const Matrix *m, float *block, double *out)
{
    if (m->rows == 1) {
        float *found = block + p->features, sum = 0.0f;
        if (copied(m, 0, 1, p->features, block) || !p->plain)
            walk_row(p, block, 1, found);
        else
            walk_row(p, block, 0, found);
        for (int32_t t = 0; t < p->trees; t++) sum += found[t];
        out[0] = finish(p, sum);
        return;
    }
    for (Py_ssize_t first = 0; first < m->rows; first += ROWS) {
        float sums[ROWS];
        if (copied(m, first, ROWS, p->features, block) || !p->plain)
            ask_block(p, block, 1, sums);
        else
            ask_block(p, block, 0, sums);
        for (int l = 0; l < ROWS && first + l < m->rows; l++) out[first + l] = finish(p, sums[l]);
    }
}

static int scored(const Plan *p, const Matrix *m, double *out)
{
    float small[SMALL], *block = small;
    size_t floats = m->rows == 1 ? (size_t)p->features + (size_t)p->trees : (size_t)p->features * ROWS;
    if (floats > SMALL && !(block = PyMem_Malloc(floats * sizeof(float)))) { PyErr_NoMemory(); return -1; }
    if (p->longest + 1 > LONG_WORK / m->rows) {
        Py_BEGIN_ALLOW_THREADS
        run(p, m, block, out);
        Py_END_ALLOW_THREADS
    } else {
        run(p, m, block, out);
    }
    if (block != small)
        PyMem_Free(block);
    return 0;
}

/* ---- Python ---- */

static PyObject *plan(PyObject *module, PyObject *args)
{
    Py_buffer v[7];
    int features;
    float base;
    (void)module;
    if (!PyArg_ParseTuple(args, "ify*y*y*y*y*y*y*", &features, &base, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]))
        return NULL;
    Plan *made = plan_made(features, base, v);
    for (int i = 0; i < 7; i++) PyBuffer_Release(&v[i]);
    if (!made)
        return NULL;
    PyObject *capsule = PyCapsule_New(made, NAME, capsule_free);
    if (!capsule)
        plan_free(made);
    return capsule;
}

/* Numbers in this machine's byte order, aligned or not: numpy writes "d", "=d" or "^d", and "<d" for what is little. */
static int is_kind(const Py_buffer *view, char kind)
{
    const char *format = view->format;
    const uint16_t one = 1;
    if (!format)
        return 0;
    if (*format == '=' || *format == '^' || *format == '@' || (*format == '<' && *(const char *)&one))
        format++;
    return format[0] == kind && !format[1];
}

static int score_into(const Plan *p, const Py_buffer *in, const Py_buffer *out)
{
    int is_double = is_kind(in, 'd');
    if (in->ndim != 2 || !(is_double || is_kind(in, 'f')) || in->shape[1] != p->features)
        return refuse("the rows are no matrix of float32 or float64 with this forest's features");
    if (out->ndim != 1 || !is_kind(out, 'd') || out->shape[0] != in->shape[0])
        return refuse("the scores do not fit: one float64 a row");
    if (!in->shape[0])
        return 0;
    Matrix m = {in->buf, in->shape[0], in->strides[0], in->strides[1], is_double};
    return scored(p, &m, out->buf);
}

static PyObject *score(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer in, out;
    int failed;
    (void)module;
    if (count != 3) { PyErr_SetString(PyExc_TypeError, "score(plan, numbers, out)"); return NULL; }
    const Plan *p = PyCapsule_GetPointer(args[0], NAME);
    if (!p || PyObject_GetBuffer(args[1], &in, PyBUF_STRIDES | PyBUF_FORMAT) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[2], &out, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&in);
        return NULL;
    }
    failed = score_into(p, &in, &out);
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    if (failed < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"plan", plan, METH_VARARGS,
     "plan(features, base, threshold, feature, left, flags, value, roots, steps): check a forest; a capsule for score."},
    {"score", (PyCFunction)(void (*)(void))score, METH_FASTCALL,
     "score(plan, numbers, out): write a score for every row of numbers into out."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_trees", "Forests of decision trees; see trees.py.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__trees(void) { return PyModuleDef_Init(&definition); }
