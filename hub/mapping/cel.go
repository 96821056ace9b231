package mapping

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"raccordo/hub/exchange"
)

// Bounds of an expression (reliability.md B27).
const (
	maxExpression   = 4096 // bytes
	maxNesting      = 40
	maxExprNodes    = 2_000
	maxRegexProgram = 500
	maxCost         = 100_000 // CEL cost units, a few ns each
	maxEvaluation   = 100 * time.Millisecond
	interruptEvery  = 64 // iterations of a comprehension
)

// variable is one typed input of an expression.
type variable struct {
	name string
	kind *cel.Type
}

// expression is one compiled CEL expression. Safe for concurrent use.
type expression struct {
	program cel.Program
	out     *cel.Type
	reads   map[string][]exchange.Pointer // per variable: what of it is read
}

// evalOptions are the same for every program.
func evalOptions() []cel.ProgramOption {
	return []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery)}
}

// compileCEL compiles src over vars. It answers what is wrong in words that
// quote the expression at most.
func compileCEL(src string, vars []variable) (*expression, []string) {
	if len(src) > maxExpression {
		return nil, []string{fmt.Sprintf("the expression is longer than %d bytes", maxExpression)}
	}
	if deep(src) {
		return nil, []string{fmt.Sprintf("the expression is nested deeper than %d", maxNesting)}
	}
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(3 * maxNesting), cel.ParserErrorRecoveryLimit(4), cel.ParserExpressionSizeLimit(maxExpression),
		cel.ExpressionNodeLimit(maxExprNodes), cel.RegexProgramSizeLimit(maxRegexProgram), cel.DefaultUTCTimeZone(true),
	}
	for _, v := range vars {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, []string{"the inputs cannot be declared: " + oneLine(err.Error())}
	}
	checked, issues := env.Compile(src)
	if issues != nil && issues.Err() != nil {
		var out []string
		for _, e := range issues.Errors() {
			out = append(out, fmt.Sprintf("the expression, column %d: %s", e.Location.Column()+1, oneLine(e.Message)))
		}
		return nil, out[:min(len(out), 5)]
	}
	native := checked.NativeRep()
	if dynamicPattern(native) {
		return nil, []string{"matches needs its pattern as a text in the expression, not as a value"}
	}
	program, err := env.Program(checked, evalOptions()...)
	if err != nil {
		return nil, []string{"the expression cannot be planned: " + oneLine(err.Error())}
	}
	names := make([]string, len(vars))
	for i, v := range vars {
		names[i] = v.name
	}
	return &expression{program: program, out: checked.OutputType(), reads: readsOf(native, names)}, nil
}

// deep finds nesting before the parser, which recurses, sees it.
func deep(src string) bool {
	depth, run := 0, 0
	for i := range len(src) {
		switch src[i] {
		case '(', '[', '{':
			depth++
			run = 0
		case ')', ']', '}':
			depth--
			run = 0
		case '!', '-', '?':
			run++
		case ' ', '\t', '\n', '\r':
		default:
			run = 0
		}
		if depth > maxNesting || run > maxNesting {
			return true
		}
	}
	return false
}

func oneLine(s string) string { return clip(strings.Join(strings.Fields(s), " ")) }

// dynamicPattern finds a regular expression that is not written down: its cost
// could not be judged before it runs.
func dynamicPattern(a *ast.AST) bool {
	found := false
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "matches" {
			return
		}
		args := e.AsCall().Args()
		found = found || len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind
	}))
	return found
}

// readsOf finds, for each variable, the longest constant path each use of it
// follows. A use that goes on in a way not known before it runs counts whole
// from there: record alone is everything.
func readsOf(a *ast.AST, names []string) map[string][]exchange.Pointer {
	out := map[string][]exchange.Pointer{}
	var walk func(e ast.NavigableExpr)
	walk = func(e ast.NavigableExpr) {
		if root, path, ok := constantPath(e); ok && slices.Contains(names, root) {
			if !slices.Contains(out[root], path) {
				out[root] = append(out[root], path)
			}
			return
		}
		for _, c := range e.Children() {
			walk(c)
		}
	}
	walk(ast.NavigateAST(a))
	for name := range out {
		slices.Sort(out[name])
	}
	return out
}

// constantPath reads e as variable.name["name"][1]...: the variable and the
// pointer that follows it, * for an index. A comprehension's own variable may
// hide one of ours; then the read is counted although it is none.
func constantPath(e ast.NavigableExpr) (root string, path exchange.Pointer, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), "", true
	case ast.SelectKind:
		root, path, ok = constantPath(e.Children()[0])
		return root, path.Append(e.AsSelect().FieldName()), ok
	case ast.CallKind:
		if e.AsCall().FunctionName() != operators.Index {
			return "", "", false
		}
		args := e.Children()
		if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
			return "", "", false
		}
		if root, path, ok = constantPath(args[0]); !ok {
			return "", "", false
		}
		switch key := args[1].AsLiteral().(type) {
		case types.String:
			return root, path.Append(string(key)), true
		case types.Int, types.Uint:
			return root, path + "/*", true
		}
	}
	return "", "", false
}

// Why an evaluation gave nothing.
var (
	errMissing = errors.New("an input is missing")
	errCEL     = errors.New("the expression failed")
)

var missingInput = regexp.MustCompile(`^(no such key|no such attribute|index out of bounds)`)

// eval runs the expression. Its errors carry nothing of the inputs.
func (x *expression) eval(inputs map[string]any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxEvaluation)
	defer cancel()
	out, _, err := x.program.ContextEval(ctx, inputs)
	if err != nil {
		if missingInput.MatchString(err.Error()) {
			return nil, errMissing
		}
		return nil, errCEL
	}
	return out.Value(), nil
}

// Condition is a compiled CEL condition over a whole record, for flows and
// clauses. Safe for concurrent use.
type Condition struct {
	source string
	expr   *expression
}

// recordVariable is how a condition sees the record.
const recordVariable = "record"

// CompileCondition compiles a condition over record, which holds the tree as
// CEL sees it: objects are maps, whole numbers int, other numbers double. The
// result must be a truth value. Every fault is returned; its place is the
// caller's to know.
func CompileCondition(src string) (*Condition, []string) {
	x, wrong := compileCEL(src, []variable{{recordVariable, cel.MapType(cel.StringType, cel.DynType)}})
	if len(wrong) > 0 {
		return nil, wrong
	}
	if x.out.Kind() != types.BoolKind {
		// A bare property could be a text: the condition would never hold and
		// nobody be told.
		return nil, []string{"the expression must be true or false; compare a property with a value (record.x == true)"}
	}
	return &Condition{source: src, expr: x}, nil
}

// Source is the expression as written.
func (c *Condition) Source() string { return c.source }

// Reads are the places the condition reads, each with everything below it: any
// reading inside CEL counts whole. The empty pointer is the whole record.
func (c *Condition) Reads() []exchange.Pointer {
	return slices.Clone(c.expr.reads[recordVariable])
}

// Eval judges one record. A missing input is "not met". An error says that the
// expression failed or ran into its bounds; then the condition is not met
// either, and no caller may take it for met.
func (c *Condition) Eval(t exchange.Tree) (bool, error) {
	record := t.Object()
	if record == nil {
		record = map[string]any{}
	}
	v, err := c.expr.eval(map[string]any{recordVariable: record})
	if errors.Is(err, errMissing) {
		return false, nil
	}
	if err != nil {
		return false, conditionFailed()
	}
	met, ok := v.(bool)
	if !ok {
		return false, conditionFailed()
	}
	return met, nil
}

func conditionFailed() error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonConditionNotMet,
		"the condition could not be judged", exchange.Fault{Rule: "condition_failed"})
}
